// Commands' dialogs with the macro recorder open, started as the menu does. Each command twice: first every field of its
// last page is changed; then "Defaults" is ticked there, and the dialog that comes again is left as it is. Prints
// "STATE command<tab>when<tab>the fields" and "RECORDED command<tab>the recorder's text". With -Dvalues, "key=value"s with |
// between, one command is run with them instead, until the folder -Dout is there.
import ij.*
import ij.gui.GenericDialog
import ij.plugin.frame.Recorder

OWN = ["Defaults", "More options", "Show"] // no options of an operation
IJ.debugMode = false
ImageJ.main(["-port0", "-ijpath", System.getProperty("folder")] as String[])
recorder = new Recorder()
IJ.createImage("mic", "8-bit ramp", 64, 64, 1).show()

List texts(java.awt.Container from) {
    from.components.collectMany {
        it instanceof java.awt.Label ? [it.text] : it instanceof ij.gui.MultiLineLabel ? it.@lines as List :
            it instanceof java.awt.Container ? texts(it) : []
    }
}

/** Whether a dialog's thread waits for an answer: one that came before would be lost, and the thread wait for ever. */
boolean waits() {
    Thread.allStackTraces.values().any { it.any { it.className == "java.awt.WaitDispatchSupport" && it.methodName == "enter" } }
}

GenericDialog shown(String what, GenericDialog before) {
    def end = System.currentTimeMillis() + 60000
    while (true) {
        def dialog = java.awt.Window.windows.find { it instanceof GenericDialog && it.showing && !it.is(before) }
        if (dialog && waits()) {
            Thread.sleep(60)
            if (dialog.title == "Macro Error") {
                println "ERROR ${what}: ${texts(dialog)}"
                Runtime.runtime.halt(4)
            }
            return dialog
        }
        if (System.currentTimeMillis() > end) {
            println "no dialog ${what}: ${IJ.log}"
            Runtime.runtime.halt(3)
        }
        Thread.sleep(20)
    }
}

void ok(GenericDialog dialog) {
    def event = new java.awt.event.ActionEvent(dialog.buttons[0], java.awt.event.ActionEvent.ACTION_PERFORMED, "OK")
    // as a click comes: from another thread ImageJ would count the fields anew while the macro reads them
    java.awt.EventQueue.invokeAndWait { dialog.actionPerformed(event) }
    while (dialog.showing) Thread.sleep(10)
}

def box(GenericDialog dialog, String label) { (dialog.checkboxes ?: []).find { it.label == label } }

String fields(GenericDialog dialog) {
    def boxes = (dialog.checkboxes ?: []).findAll { !(it.label in OWN) }*.state
    [*(dialog.stringFields ?: [])*.text, *(dialog.choices ?: [])*.selectedItem, *boxes].join("|")
}

def say(String name, String when, GenericDialog dialog) { println "STATE ${name}\t${when}\t${fields(dialog)}" }

String recorded() {
    def text = recorder.text.replaceAll(/selectImage\(.*\);\n/, "") // ImageJ's own, when the pointer makes a window active
    recorder.@textArea.text = ""
    text
}

void change(GenericDialog dialog) {
    (dialog.stringFields ?: []).eachWithIndex { field, i -> field.text = i % 2 ? "7" : "a \u00fc\\b ${i}" }
    (dialog.choices ?: []).each { it.select(it.selectedIndex == it.itemCount - 1 ? 0 : it.itemCount - 1) }
    (dialog.checkboxes ?: []).findAll { !(it.label in OWN) }.each { it.state = !it.state }
}

/** A command ends with its thread; it is one that fails, since there is no Python. */
def whenDone(String name) {
    def end = System.currentTimeMillis() + 60000
    while (Thread.allStackTraces.keySet().any { it.name.contains(name) }) {
        if (System.currentTimeMillis() > end) {
            println "${name} did not end: ${IJ.log}"
            Thread.allStackTraces.findAll { thread, _ -> thread.name.contains(name) || thread.name.contains("AWT-Event") }
                .each { thread, frames -> println "${thread.name}: ${frames.take(30)}" }
            java.awt.Window.windows.findAll { it.showing }.each { println "showing: ${it}" }
            System.out.flush()
            Runtime.runtime.halt(5)
        }
        Thread.sleep(10)
    }
}

/** Fills in what is asked for by name, on the page that has it; ImageJ knows the fields by their labels. */
void fill(GenericDialog dialog, Map values) {
    dialog.@labels.each { field, label ->
        def value = values[label.toLowerCase().replace(" ", "_")]
        if (value != null) field instanceof java.awt.Checkbox ? (field.state = value == "true") : (field.text = value)
    }
}

/** A command's dialog, as the menu opens it, and its box for more options, if it has one. */
List opened(String name) {
    new Executer(name, WindowManager.currentImage)
    def first = shown(name, null)
    return [first, box(first, "More options")]
}

if (System.getProperty("values")) {
    def name = System.getProperty("commands"), out = new File(System.getProperty("out"))
    def values = System.getProperty("values").split("\\|").collectEntries { it.split("=", 2) as List }
    IJ.open(System.getProperty("image"))
    def (first, more) = opened(name)
    fill(first, values)
    more.state = true
    ok(first)
    def second = shown(name + " more", first)
    fill(second, values)
    ok(second)
    def end = System.currentTimeMillis() + 120000
    while (!out.exists() && System.currentTimeMillis() < end) Thread.sleep(50)
    Thread.sleep(2000) // what it opens would be recorded, if anything
    println "RECORDED ${name}\t${recorded()}"
    System.out.flush()
    Runtime.runtime.halt(0)
}
System.getProperty("commands").split(",").each { name ->
    def (dialog, more) = opened(name)
    say(name, "first page", dialog)
    if (more) {
        more.state = true
        ok(dialog)
        dialog = shown(name + " more", dialog)
    }
    say(name, "before", dialog)
    change(dialog)
    say(name, "changed", dialog)
    ok(dialog)
    whenDone(name)
    println "RECORDED ${name}\t${recorded().replace('\n', '\t')}"

    (dialog, more) = opened(name)
    if (more) {
        assert more.state
        ok(dialog)
        dialog = shown(name + " more", dialog)
    }
    say(name, "remembered", dialog)
    box(dialog, "Defaults").state = true
    ok(dialog)
    dialog = shown(name + " again", dialog)
    say(name, "again", dialog)
    box(dialog, "Show").state = false
    ok(dialog)
    whenDone(name)
    println "RECORDED ${name}\t${recorded().replace('\n', '\t')}"
}
System.out.flush()
Runtime.runtime.halt(0)
