// Train in Weka Window: traces to Python; overlay, classifier and features back.
def truth = image("truth.tif")
def shown = openThree(image("image.tif"))
say("no traces", script("Train_in_Weka_Window"))
def strokes = strokes()
shown.setRoi(new Roi(20, 30, 25, 10))
weka(shown, "addTrace", 0, 1)
say("one class", script("Train_in_Weka_Window"))
weka(shown, "deleteTrace", 0, 1, 0)
traces(shown, strokes)
say("no preset", script("Train_in_Weka_Window", "preset=worst"))
say("trained", script("Train_in_Weka_Window", "preset=fast"))
def ours = result(shown)
new FileSaver(ours).saveAsTiff(WORK + "/window.tif")
say("accuracy", agreement(ours, truth))
say("overlay", shown.window.class.getDeclaredField("resultOverlay").with { it.accessible = true; it.get(shown.window) }.with { overlay ->
    def field = overlay.class.getDeclaredField("imp")
    field.accessible = true
    field.get(overlay) != null })
say("features", labelsOf(shown).size())
say("buttons", ["Create result", "Get probability", "Save classifier", "Toggle overlay"].every { button(shown, it).enabled })
// TWS itself, with the features and the classifier in its window
def tws = segmentation(shown)
tws.applyClassifier(false)
def theirs = tws.classifiedImage.duplicate()
theirs.getProcessor().add(1)
say("as TWS applies it", agreement(theirs, ours))
weka(shown, "getProbability")
say("maps", [WindowManager.currentImage.width, WindowManager.currentImage.height, WindowManager.currentImage.stackSize].join(","))
weka(shown, "saveClassifier", WORK + "/own.model")
weka(shown, "trainClassifier")
say("TWS trains on", labelsOf(shown).size())
IJ.selectWindow(shown.ID)
WindowManager.currentWindow = shown.window

// a further stroke, and the button beside TWS's own
say("button", button(shown, "Train with ViT") != null)
shown.setRoi(new Roi(100, 100, 4, 4))
weka(shown, "addTrace", 1, 1)
IJ.log("\\Clear")
press(shown, "Train with ViT")
until("second training", 120) { IJ.log?.contains("classifier and features are in the window") }
say("log", IJ.log)
press(shown, "Get probability")
until("maps", 20) { WindowManager.getImage("Probability maps") != null }
def maps = WindowManager.getImage("Probability maps")
say("maps by button", [maps.width, maps.height, maps.stackSize, IJ.log?.contains("Calculating")].join(","))
IJ.selectWindow(shown.ID)
WindowManager.currentWindow = shown.window
say("again", agreement(result(shown), ours))
say("traces kept", (0..<3).collect { tws.getExamples(it, 1).size() }.sum())
System.exit(0)
