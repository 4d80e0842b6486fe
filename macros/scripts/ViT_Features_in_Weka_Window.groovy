// Puts features of a vision transformer (ViT) into the open window of Trainable Weka Segmentation; its buttons Train
// classifier, Create result and Get probability use them from then on.
// In a macro: run("ViT Features in Weka Window", "channels=32 blocks=6 position=template tws_features");

command {
    def window = WekaWindow.find()
    def dialog = new GenericDialog("ViT Features in Weka Window")
    dialog.addNumericField("Channels", 32, 0)
    dialog.addStringField("Blocks", "6")
    dialog.addChoice("Position", ["template", "keep", "mean", "flips", "rolls", "alibi", "distilled",
        "template+flips"] as String[], "template")
    dialog.addCheckbox("TWS_features", true)
    dialog.addDirectoryField("Classifier", "")
    dialog.addStringField("Detectors", "", 30)
    dialog.addHelp("<html><b>Channels</b>: principal components of the ViT's channels; 0: all, 384 a block<br>" +
        "<b>Blocks</b>: of the ViT, such as 6 or 3,6<br>" +
        "<b>Position</b>: the ViT's positional bias; template and mean remove it (mean at some cost in accuracy)<br>" +
        "<b>TWS features</b>: TWS's 76 default features beside the ViT's<br>" +
        "<b>Classifier</b>: a saved classifier whose features are made instead; empty: those above<br>" +
        "<b>Detectors</b>: further detectors' images of the same field, whole paths: SE=/data/SE.tif, EDX-S=/data/S.tif")
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    int channels = dialog.nextNumber as int
    def blocks = dialog.nextString.replace(" ", "")
    def position = dialog.nextChoice
    def classical = dialog.nextBoolean ? "tws" : "none"
    def classifier = dialog.nextString.trim()
    def detectors = dialog.nextString.trim()

    def options = [channels: channels, blocks: blocks, position: position, classical: classical]
    def wanted = classifier ? Recipe.of(classifier) :
        new Recipe("\"channels\": ${channels}, \"blocks\": [${blocks}], \"classical\": \"${classical}\"," +
            " \"detectors\": [${detectors}]")
    if (classifier)
        options = [classifier: classifier]
    if (detectors)
        options.detectors = detectors
    def before = window.recipe
    def recipe = features(window, options.collect { key, value -> Service.option(key, value) }.join(" "), wanted)
    checkClassifier(window, recipe, before, classifier != "")
}

/** Keeps the window's trained classifier where it fits the new features, and says so. */
void checkClassifier(WekaWindow window, Recipe recipe, Recipe before, boolean chosen) {
    def names = recipe.names()
    def forest = window.segmentation.classifier
    int tried = Math.round(Math.sqrt(names.size()))
    if (forest.class.simpleName == "FastRandomForest" && forest.numFeatures > 0 && forest.numFeatures < tried / 2)
        IJ.log("FijiBridge: the classifier tries ${forest.numFeatures} features at a split; about ${tried} suit" +
            " ${names.size()} features better (Settings, click on FastRandomForest, numFeatures)")
    if (!window.trained)
        return
    def same = (window.trainedOn as Set) == (names as Set)
    // components learnt from another image have the same names, and other values
    def doubtful = recipe.hasBasis() && !chosen && before?.text != recipe.text
    if (same && !(doubtful && before != null)) {
        window.reorder()
        window.classify()
        IJ.log("FijiBridge: the window's classifier fits these features by their names" + (!doubtful ? "" :
            "; whether it was trained on the same components TWS does not know: Forest from Python makes sure"))
        return
    }
    window.ask("setTrainingComplete", false)
    window.ask("updateButtonsEnabling")
    IJ.log("FijiBridge: the window's classifier was trained on other features" +
        (same ? " (components of another image)" : "") + ": train it again, or load one that fits")
}
