// A person's first command in a Fiji with the update site. Plain ImageJ has no scripts in its menu: the set-up is run where
// Fiji would run it. Answers are printed as lines "ANSWER key=value".
import ij.*
import ij.macro.Interpreter

FOLDER = System.getProperty("folder")
ANSWER = System.getProperty("answer") // yes, no, cancel: what the person does
IJ.debugMode = false
ImageJ.main(["-port0", "-ijpath", FOLDER] as String[])

def say(String key, Object value) { println "ANSWER ${key}=${String.valueOf(value).replace('\n', '\\n')}"; System.out.flush() }
def windows(Class kind) { java.awt.Window.windows.findAll { kind.isInstance(it) && it.showing } }

def parts(java.awt.Container from, Class kind) {
    from.components.collectMany { (kind.isInstance(it) ? [it] : []) + (it instanceof java.awt.Container ? parts(it, kind) : []) }
}

/** Saves a picture of a window, where the test asks for pictures. */
def picture(java.awt.Window window, String name) {
    def folder = System.getProperty("pictures")
    if (!folder) return
    Thread.sleep(300)
    def shot = new java.awt.Robot().createScreenCapture(window.bounds)
    javax.imageio.ImageIO.write(shot, "png", new File(folder, name + ".png"))
}

Executer.addCommandListener({ String command ->
    if (command != "FB Set Up Python")
        return command
    say("options", Macro.options)
    def script = new File(FOLDER, "scripts/Plugins/FijiBridge/FB_Set_Up_Python.groovy")
    new GroovyShell(this.class.classLoader).evaluate(script)
    return null
} as CommandListener)

// a JOptionPane forgets a click that comes before it has heard that it is shown; nobody clicks that fast
def shown = Collections.synchronizedSet([] as Set)
java.awt.Toolkit.defaultToolkit.addAWTEventListener({ event ->
    if (event.ID == java.awt.event.ComponentEvent.COMPONENT_SHOWN) shown.add(event.source)
} as java.awt.event.AWTEventListener, java.awt.AWTEvent.COMPONENT_EVENT_MASK)

// the person: answers the question, cancels the download
def seen = Collections.synchronizedSet([] as Set)
def person = Thread.start {
    while (true) {
        windows(javax.swing.JDialog).each { dialog ->
            if (!shown.contains(dialog) || !seen.add(dialog)) return
            def buttons = parts(dialog, javax.swing.JButton).collectEntries { [it.text, it] }
            say("window", dialog.title + ": " + buttons.keySet())
            def text = parts(dialog, javax.swing.JLabel)*.text.join(" ")
            if (buttons["Download and set up"]) {
                say("question", text)
                picture(dialog, "question")
                javax.swing.SwingUtilities.invokeLater { buttons[ANSWER == "no" ? "Cancel" : "Download and set up"].doClick() }
            } else {
                if (ANSWER == "cancel") {
                    while (!new File(System.getProperty("user.home"), "started").exists()) Thread.sleep(20)
                    picture(dialog, "progress")
                    javax.swing.SwingUtilities.invokeLater { buttons["Cancel"].doClick() }
                } else
                    picture(dialog, "progress")
            }
        }
        windows(ij.gui.GenericDialog).each { dialog -> // nothing of the kind is expected
            say("unexpected", dialog.title + ": " + dialog.components.collect { it.respondsTo("getText") ? it.text : it.class.simpleName })
            picture(dialog, "unexpected")
            Runtime.runtime.halt(3)
        }
        Thread.sleep(20)
    }
}
def library = new File(FOLDER, "macros/FijiBridge.ijm").getText("ISO-8859-1")
def answer = IJ.runMacro(System.getProperty("macro") + "\n" + library, "")
say("answer", answer)
say("log", IJ.log ?: "")
Runtime.runtime.halt(0)
