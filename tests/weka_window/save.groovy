// TWS's button Save classifier, once as asked for and once over what is there.
def shown = openThree(image("image.tif"))
traces(shown, strokes())
say("trained", script("Train_in_Weka_Window", "preset=fast"))
new FileSaver(result(shown)).saveAsTiff(WORK + "/window.tif")
def save = {
    IJ.selectWindow(shown.ID)
    WindowManager.currentWindow = shown.window
    def thread = new Thread({
        Macro.setOptions("save=[${WORK}/my classifier.model]") // as a macro answers a file dialog
        button(shown, "Save classifier").actionListeners.each { it.actionPerformed(null) }
    }, "Run\$_save")
    thread.start()
    thread.join(10000)
}
save()
until("saved", 20) { IJ.log?.contains("for TWS, and the folder") }
def before = new File(WORK, "my classifier").list().sort()
IJ.redirectErrorMessages()
def texts = ""
new Thread({ save() }).start()
texts = closeDialog("there already")
say("refused", texts.contains("my classifier is there already") && before == new File(WORK, "my classifier").list().sort() ?
    "my classifier is there already" : texts)
System.exit(0)
