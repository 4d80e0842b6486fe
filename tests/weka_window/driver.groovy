// What a person does at ImageJ's windows, for the scenarios of test_weka_window.py, which are appended to this file.
// Answers are printed as lines "ANSWER key=value".
import ij.*
import ij.gui.*
import ij.io.FileSaver
import ij.process.*

FOLDER = System.getProperty("fiji")
TWS = "trainableSegmentation.Weka_Segmentation"
IJ.debugMode = false
Prefs.setThreads(4) // TWS's membrane projections wait for ever on a thread that two or three do not have
ImageJ.main(["-port0", "-ijpath", FOLDER] as String[]) // port 0: else it calls upon an ImageJ that runs already

def say(String key, Object value) { println "ANSWER ${key}=${String.valueOf(value).replace('\n', '\\n')}"; System.out.flush() }

def until(String what, int seconds, Closure<Boolean> done) {
    def end = System.currentTimeMillis() + seconds * 1000
    while (!done()) {
        if (System.currentTimeMillis() > end) {
            say("timeout", what + dialogs())
            println IJ.log
            Runtime.runtime.halt(3)
        }
        Thread.sleep(50)
    }
}

def isTws(ImagePlus image) { image?.window?.class?.name == TWS + '$CustomWindow' }

/** Shows an image in a TWS window: that window's image. */
def openTws(ImagePlus image, String plugin = "Trainable Weka Segmentation") {
    image.show()
    until("image shown", 20) { WindowManager.currentImage == image }
    IJ.run(plugin)
    until("TWS window", 60) { isTws(WindowManager.currentImage) }
    Thread.sleep(300)
    return WindowManager.currentImage
}

def segmentation(ImagePlus shown) {
    def method = shown.window.class.getDeclaredMethod("getWekaSegmentation")
    method.accessible = true
    return method.invoke(shown.window)
}

/** One of TWS's recorded macro calls, on its window. */
def weka(ImagePlus shown, String method, Object... values) {
    IJ.selectWindow(shown.ID)
    WindowManager.currentWindow = shown.window
    IJ.runMacro("call(\"" + ([TWS + "." + method] + (values as List)).join('", "') + "\");")
}

/** Traces of a label image's plane: a rectangle for each run of each `every`-th row, at most `most` pixels a class. */
def traces(ImagePlus shown, ImageProcessor labels, int slice = 1, int every = 1) {
    int n = 0
    for (int y = 0; y < labels.height; y += every)
        for (int x = 0; x < labels.width; x++) {
            int value = labels.get(x, y), left = x
            if (value == 0)
                continue
            while (x + 1 < labels.width && labels.get(x + 1, y) == value)
                x++
            segmentation(shown).addExample(value - 1, new Roi(left, y, x + 1 - left, 1), slice)
            n++
        }
    return n
}

/** Runs an installed script as run("NAME", "options") in a macro does: what it refused, or "". */
def script(String name, String options = "") {
    IJ.getErrorMessage()
    IJ.redirectErrorMessages() // the next one into the Log: a dialog would wait for ever
    def failed = null
    def thread = new Thread({
        Macro.setOptions(options)
        try {
            new GroovyShell(this.class.classLoader).evaluate(new File(FOLDER, "scripts/Plugins/FijiBridge/${name}.groovy"))
        } catch (Throwable problem) {
            problem.printStackTrace(System.out)
            failed = problem.toString()
        }
    }, "Run\$_script")
    thread.start()
    until("end of " + name, Integer.getInteger("patience", 150)) { !thread.alive }
    return failed ?: IJ.getErrorMessage() ?: ""
}

/** The values of the result that "Create result" shows, counted from 1 as in Python; it is closed again. */
def result(ImagePlus shown) {
    def before = WindowManager.IDList as List ?: []
    weka(shown, "getResult")
    def made = (WindowManager.IDList as List).find { !(it in before) }
    if (made == null)
        return null
    def image = WindowManager.getImage(made as int)
    def copy = image.duplicate()
    image.changes = false
    image.close()
    (1..copy.stackSize).each { copy.imageStack.getProcessor(it).add(1) }
    return copy
}

def agreement(ImagePlus one, ImagePlus other, int slice = 1) {
    def a = one.imageStack.getProcessor(slice), b = other.imageStack.getProcessor(Math.min(slice, other.stackSize))
    return (0..<a.pixelCount).count { a.get(it) == b.get(it) } / (a.pixelCount as double)
}

def labelsOf(ImagePlus shown, int slice = 1) {
    def stack = segmentation(shown).featureStackArray.get(slice - 1).stack
    return stack == null ? [] : (1..stack.size).collect { stack.getSliceLabel(it) }
}

def button(ImagePlus shown, String text, box = shown.window) {
    for (part in box.components) {
        if (part instanceof javax.swing.JButton && part.text == text)
            return part
        def found = part instanceof java.awt.Container ? button(shown, text, part) : null
        if (found != null)
            return found
    }
}
WORK = System.getProperty("work")

def image(String name) { IJ.openImage(WORK + "/" + name) }

/** A TWS window on an image of WORK with three classes. */
def openThree(ImagePlus opened, String plugin = "Trainable Weka Segmentation") {
    def shown = openTws(opened, plugin)
    weka(shown, "createNewClass", "class 3")
    return shown
}

def strokes() { image("labels.tif").getProcessor() }

/** Presses a button of the window as a click does: on the event thread. */
def press(ImagePlus shown, String text) { javax.swing.SwingUtilities.invokeLater { button(shown, text).doClick() } }

def dialogs() { java.awt.Window.windows.findAll { it instanceof java.awt.Dialog && it.showing } }

/** The texts of the dialog that is waited for; it is closed. */
def closeDialog(String what) {
    until("dialog " + what, 20) { dialogs() }
    def dialog = dialogs()[0]
    def texts = [dialog.title]
    def collect
    collect = { part ->
        if (part.class.simpleName == "MultiLineLabel")
            texts.addAll(part.class.getDeclaredField("lines").with { it.accessible = true; it.get(part) as List })
        else if (part instanceof java.awt.Label || part instanceof javax.swing.JLabel) texts << part.text
        if (part instanceof java.awt.Container) part.components.each(collect)
    }
    collect(dialog)
    dialog.dispose()
    return texts.join(" | ")
}

/** Presses Apply classifier and answers its dialog: the files and the output folder. */
def applyByButton(ImagePlus shown, String images, String out) {
    new Thread({ button(shown, "Apply classifier").doClick() }).start()
    until("dialog", 20) { dialogs() }
    def dialog = dialogs()[0]
    dialog.stringFields.withIndex().each { field, k -> field.text = [images, out][k] }
    def title = dialog.title, ok = dialog.buttons.find { it?.label?.trim() == "OK" }
    java.awt.EventQueue.invokeAndWait { dialog.actionPerformed(new java.awt.event.ActionEvent(ok, 1001, "OK")) }
    return title
}

/** A stack of a plane, turned from slice to slice. */
def turned(ImageProcessor plane, int slices = 3) {
    def stack = new ImageStack(plane.width, plane.height)
    (0..<slices).each { k ->
        def own = plane.duplicate()
        k.times { own = own.rotateRight() }
        stack.addSlice(own)
    }
    return new ImagePlus("slices", stack)
}

def front(ImagePlus shown) {
    IJ.selectWindow(shown.ID)
    WindowManager.currentWindow = shown.window
}
