// The window of TWS's 3D version: Load data, then traces on another slice; and Apply classifier of what TWS trained.
def NAME = "Trainable Weka Segmentation 3D"
def volume = turned(image("image.tif").getProcessor()), labels = turned(strokes())
new FileSaver(volume).saveAsTiffStack(WORK + "/volume.tif")
def first = openThree(volume, NAME)
traces(first, labels.imageStack.getProcessor(1), 1, 8)
weka(first, "saveData", WORK + "/old.arff")
weka(first, "setClassifier", "weka.classifiers.trees.J48", "-C 0.25 -M 2")
weka(first, "trainClassifier")
weka(first, "saveClassifier", WORK + "/j48.model")

def again = image("volume.tif")
again.title = "again"
def shown = openThree(again, NAME)
weka(shown, "loadData", WORK + "/old.arff")
front(shown)
traces(shown, labels.imageStack.getProcessor(3), 3, 8)
say("written", script("Traces_to_ROI_Set", "roi_set=[${WORK}/traces.zip]"))
say("trained", script("Train_in_Weka_Window", "preset=fast"))
say("log", IJ.log)
def ours = result(shown)
new FileSaver(ours).saveAsTiffStack(WORK + "/window.tif")
def tws = segmentation(shown)
tws.applyClassifier(false)
def theirs = tws.classifiedImage.duplicate()
(1..3).each { theirs.imageStack.getProcessor(it).add(1) }
say("as TWS applies it", (1..3).collect { agreement(theirs, new ImagePlus("", ours.imageStack.getProcessor(it)), it) }.min())

weka(shown, "loadClassifier", WORK + "/j48.model")
front(shown)
say("title", applyByButton(shown, WORK + "/volume.tif", WORK + "/applied"))
until("applied", 120) { new File(WORK, "applied/report.json").isFile() }
tws.applyClassifier(false)
def loaded = tws.classifiedImage.duplicate()
(1..3).each { loaded.imageStack.getProcessor(it).add(1) }
new FileSaver(loaded).saveAsTiffStack(WORK + "/loaded.tif")
System.exit(0)
