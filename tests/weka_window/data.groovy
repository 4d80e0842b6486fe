// Load data, further traces, Train in Weka Window: on data of TWS's own features, of slices and of volumes, and of the ViT's.
def labels = strokes(), truth = image("truth.tif")
def others = { ImagePlus shown ->
    ["Hessian=false", "Difference_of_gaussians=false", "Sobel_filter=false", "Median=true"].each { weka(shown, "setFeature", it) }
    weka(shown, "setMaximumSigma", "4")
}
def train = { ImagePlus shown, String key, String name ->
    IJ.log("\\Clear")
    say(key, script("Train_in_Weka_Window", "preset=fast"))
    say(key + " log", IJ.log)
    def ours = result(shown)
    if (ours.stackSize > 1)
        new FileSaver(ours).saveAsTiffStack(WORK + "/" + name)
    else
        new FileSaver(ours).saveAsTiff(WORK + "/" + name)
    return ours
}

def first = openThree(image("image.tif"))
others(first)
traces(first, labels, 1, 8)
weka(first, "saveData", WORK + "/old.arff")

def flipped = image("image.tif"), strokesThere = labels.duplicate()
flipped.getProcessor().flipHorizontal()
strokesThere.flipHorizontal()
new FileSaver(flipped).saveAsTiff(WORK + "/flipped.tif")
flipped.title = "flipped"
def shown = openThree(flipped)
weka(shown, "loadData", WORK + "/old.arff")
front(shown)
say("no traces", script("Train_in_Weka_Window"))
def one = strokesThere.duplicate() // of the second class alone
one.applyTable((0..255).collect { it == 2 ? 2 : 0 } as int[])
traces(shown, one, 1, 16)
say("written", script("Traces_to_ROI_Set", "roi_set=[${WORK}/traces.zip]"))
def ours = train(shown, "trained", "window.tif")
say("next", script("Label_Here_Next"))
def tws = segmentation(shown)
say("enabled", (tws.enabledFeatures as List).count(true) + "," + tws.maximumSigma)
press(shown, "Get probability")
until("maps", 20) { WindowManager.getImage("Probability maps") != null }
say("maps", WindowManager.getImage("Probability maps").stackSize)
front(shown)
tws.applyClassifier(false) // TWS makes the features itself
def theirs = tws.classifiedImage.duplicate()
theirs.getProcessor().add(1)
say("as TWS applies it", agreement(theirs, ours))
weka(shown, "trainClassifier")
say("TWS trains on", labelsOf(shown).size())
truth.getProcessor().flipHorizontal()
say("TWS after it", agreement(result(shown), truth))
weka(shown, "createNewClass", "class 4")
say("another class", script("Train_in_Weka_Window", "preset=fast"))

// features of the ViT: in the window they are known
front(first)
say("vit", script("ViT_Features_in_Weka_Window", "preset=fast channels=8"))
weka(first, "saveData", WORK + "/vit.arff")
weka(first, "loadData", WORK + "/vit.arff")
front(first)
def ofVit = train(first, "trained on the ViT", "vit.tif")
say("features", labelsOf(first).size())
say("as TWS applies the ViT's", segmentation(first).with { it.applyClassifier(false)
    def found = it.classifiedImage.duplicate()
    found.getProcessor().add(1)
    agreement(found, ofVit)
})
// elsewhere not
def third = openThree(image("image.tif"))
traces(third, labels, 1, 8)
weka(third, "loadData", WORK + "/vit.arff")
front(third)
train(third, "alone", "alone.tif")
System.exit(0)
