// TWS's other buttons after Train with ViT, Esc, three images, and a window that is closed midway.
def windows = (0..2).collect { k ->
    def opened = image("image.tif")
    opened.title = "image ${k}"
    def shown = openThree(opened)
    traces(shown, strokes(), 1, 4 + k)
    return shown
}
def shown = windows[0]
front(shown)
say("first", script("Train_in_Weka_Window", "preset=fast"))
front(windows[2])
say("third", script("Train_in_Weka_Window", "preset=fast"))
say("only these", windows.collect { segmentation(it).classifiedImage != null })
say("buttons", windows.collect { button(it, "Train with ViT") != null })
def before = result(shown)

weka(shown, "saveData", WORK + "/own.arff")
say("data saved", new File(WORK, "own.arff").length() > 1000)
front(shown)
press(shown, "Plot result")
until("graphs", 30) { java.awt.Window.windows.any { it.showing && it instanceof javax.swing.JFrame } }
say("plotted", true)
weka(shown, "loadData", WORK + "/own.arff")
say("data loaded", segmentation(shown).loadedTrainingData != null)
weka(shown, "trainClassifier")
say("TWS trains on the loaded data", agreement(result(shown), before) > 0.8)
front(shown)
IJ.log("\\Clear")
say("trained again", script("Train_in_Weka_Window", "preset=fast"))
say("told", IJ.log?.contains("the window's traces alone"))
say("as before", agreement(result(shown), before) > 0.99)

/** Waits until Python trains for a window, however long the script takes to compile. */
def begun = { ImagePlus one ->
    def training = one.window.trainingImage
    until("training begun", 60) { training.getProperty("fijibridge.running") }
    Thread.sleep(500)
}

// Esc: the button's own thread; nothing is lost, and the next press works
front(windows[1])
IJ.redirectErrorMessages()
def stopped = Thread.start { begun(windows[1]); ij.macro.Interpreter.abort() }
say("stopped", script("Train_in_Weka_Window", "preset=best"))
stopped.join()
say("after Esc", script("Train_in_Weka_Window", "preset=fast"))

// closed while Python trains
front(windows[2])
def closing = Thread.start {
    begun(windows[2])
    windows[2].window.trainingImage.changes = false
    windows[2].changes = false
    windows[2].window.windowClosing(new java.awt.event.WindowEvent(windows[2].window, java.awt.event.WindowEvent.WINDOW_CLOSING))
}
segmentation(windows[2]).addExample(0, new Roi(3, 3, 9, 1), 1)
def training = Thread.start { script("Train_in_Weka_Window", "preset=default") }
say("closed", closeDialog("of the closed window"))
System.exit(0)
