// Opens each command's dialog, page by page, and says how tall and how full it is: "PAGE command, page, height, fields".
import ij.*
import ij.gui.GenericDialog

IJ.debugMode = false
ImageJ.main(["-port0", "-ijpath", System.getProperty("folder")] as String[])

def dialogs() { java.awt.Window.windows.findAll { it instanceof GenericDialog && it.showing } }

def shown(String what) {
    def end = System.currentTimeMillis() + 60000
    // and its thread waits for an answer: one that came before would be lost, and the thread wait for ever
    def waits = { Thread.allStackTraces.values().any { it.any { it.className == "java.awt.WaitDispatchSupport" && it.methodName == "enter" } } }
    while (!dialogs() || !waits()) {
        if (System.currentTimeMillis() > end) {
            println "no dialog ${what}"
            Runtime.runtime.halt(3)
        }
        Thread.sleep(20)
    }
    Thread.sleep(100)
    return dialogs()[0]
}

def fields(GenericDialog dialog) {
    [dialog.stringFields, dialog.choices, dialog.checkboxes, dialog.numericFields].collect { it?.size() ?: 0 }.sum()
}

/** As a click comes: from another thread ImageJ would count the fields anew while the macro reads them. */
def press(GenericDialog dialog, int button, String what) {
    def event = new java.awt.event.ActionEvent(dialog.buttons[button], java.awt.event.ActionEvent.ACTION_PERFORMED, what)
    java.awt.EventQueue.invokeAndWait { dialog.actionPerformed(event) }
}

System.getProperty("commands").split(",").each { name ->
    if (IJ.instance) newImage = IJ.createImage("mic", "8-bit ramp", 64, 64, 1).show()
    def thread = new Thread({ try { IJ.run(name) } catch (RuntimeException cancelled) { } }, "Run\$_command")
    thread.start()
    def first = shown(name)
    println "PAGE ${name},1,${first.height},${fields(first)}"
    def more = (first.checkboxes ?: []).find { it.label == "More options" }
    if (more) {
        more.state = true
        press(first, 0, "OK")
        while (first.showing) Thread.sleep(20)
        def second = shown(name + " more")
        println "PAGE ${name},2,${second.height},${fields(second)}"
        press(second, 1, "Cancel")
    } else
        press(first, 1, "Cancel")
    thread.join(20000)
}
System.exit(0)
