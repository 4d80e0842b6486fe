// Load classifier of other filters and another classifier of Weka, then Apply classifier: a process of its own.
def first = openThree(image("image.tif"))
["Hessian=false", "Difference_of_gaussians=false", "Sobel_filter=false", "Membrane_projections=false", "Median=true"].each {
    weka(first, "setFeature", it)
}
weka(first, "setMaximumSigma", "4")
traces(first, strokes(), 1, 8)
weka(first, "setClassifier", "weka.classifiers.functions.SMO", "")
weka(first, "trainClassifier")
say("accuracy", agreement(result(first), image("truth.tif")))
weka(first, "saveClassifier", WORK + "/smo.model")

def second = image("image.tif")
second.title = "second"
def shown = openTws(second)
weka(shown, "loadClassifier", WORK + "/smo.model")
front(shown)
say("no traces", script("Train_in_Weka_Window")) // the window has fijibridge's buttons from now on
say("title", applyByButton(shown, WORK + "/image.tif", WORK + "/applied"))
until("applied", 120) { new File(WORK, "applied/report.json").isFile() }
def tws = segmentation(shown)
tws.applyClassifier(false)
def theirs = tws.classifiedImage.duplicate()
theirs.getProcessor().add(1)
new FileSaver(theirs).saveAsTiff(WORK + "/window.tif")
System.exit(0)
