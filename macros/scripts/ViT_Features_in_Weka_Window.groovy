// Puts features of a vision transformer (ViT) into the open window of Trainable Weka Segmentation; its buttons Train
// classifier, Create result and Get probability use them from then on.
// In a macro: run("ViT Features in Weka Window", "preset=default channels=32 debiasing=template tws_features");

/** What the presets make, from which the memory that features need is known before they are made. */
class Presets {
    // how many blocks of the default ViT, on how many scales
    static final Map BLOCKS = ["fast": 2, "default": 4, "best": 5], SCALES = ["fast": 1, "default": 2, "best": 2]
    static final int BLOCK_CHANNELS = 384, TWS_FEATURES = 76
}

command {
    def window = WekaWindow.find()
    def dialog = new GenericDialog("ViT Features in Weka Window")
    dialog.addChoice("Preset", Presets.BLOCKS.keySet() as String[], "default")
    dialog.addNumericField("Channels", 32, 0)
    dialog.addChoice("Debiasing", ["preset", "template", "none", "mean", "flips", "rolls", "alibi", "distilled",
        "template+flips"] as String[], "preset")
    dialog.addCheckbox("TWS_features", true)
    dialog.addDirectoryField("Classifier", "")
    dialog.addStringField("Detectors", "", 30)
    dialog.addHelp("<html><b>Preset</b>: how much the ViT does<br>" +
        "<b>Channels</b>: principal components of the ViT's channels at each scale that it sees; 0: all channels, 384 a" +
        " block: TWS holds all features in Java's memory<br>" +
        "<b>Debiasing</b>: how the ViT's positional bias is removed; preset: the preset's<br>" +
        "<b>TWS features</b>: TWS's own features beside the ViT's, by the filters and sigmas in Settings<br>" +
        "<b>Classifier</b>: a saved classifier whose features are made instead; empty: those above<br>" +
        "<b>Detectors</b>: further detectors' images of the same field, whole paths: SE=/data/SE.tif, EDX-S=/data/S.tif")
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    def preset = dialog.nextChoice
    int channels = dialog.nextNumber as int
    def debiasing = dialog.nextChoice
    boolean withTws = dialog.nextBoolean
    def classifier = dialog.nextString.trim()
    def detectors = dialog.nextString.trim()

    def options
    if (classifier) {
        window.checkRoom(FeatureFile.of(classifier).names().size())
        options = [feature_file: classifier]
    } else {
        int seen = 1 + (detectors ? detectors.split(",").size() : 0)
        options = [preset: preset, channels: channels, debiasing: debiasing] + (withTws ? window.ownFeatures("vit") : [features: "vit"])
        // how many other filters make is known when they are made
        int copies = seen * Presets.SCALES[preset], others = withTws && window.hasDefaults() ? seen * Presets.TWS_FEATURES : 0
        int ofVit = channels > 0 ? copies * channels : seen * Presets.BLOCKS[preset] * Presets.BLOCK_CHANNELS
        window.checkRoom(others + ofVit, others, copies)
    }
    if (detectors)
        options.detectors = detectors
    def before = window.featureFile
    def made = window.fetch(options.collect { key, value -> Service.option(key, value) }.join(" "))
    checkClassifier(window, made, before, classifier != "")
}

/** Keeps the window's trained classifier where it fits the new features, and says so. */
void checkClassifier(WekaWindow window, FeatureFile made, FeatureFile before, boolean chosen) {
    def names = made.names()
    def forest = window.segmentation.classifier
    int tried = Math.round(Math.sqrt(names.size()))
    if (forest.class.simpleName == "FastRandomForest" && forest.numFeatures > 0 && forest.numFeatures < tried / 2)
        IJ.log("FijiBridge: the classifier tries ${forest.numFeatures} features at a split; about ${tried} suit" +
            " ${names.size()} features better (Settings, click on FastRandomForest, numFeatures)")
    if (!window.trained)
        return
    def same = (window.trainedOn as Set) == (names as Set)
    // what was learned from another image, as components are, has the same names and other values; the text has its digest
    def doubtful = made.arrays != null && !chosen && before?.text != made.text
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
