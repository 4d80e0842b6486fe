// Gives the open window of Trainable Weka Segmentation a classifier that fijibridge saved, with the features it needs.
// In a macro: run("Forest from Python", "classifier=/phases/classifier");

command {
    def window = WekaWindow.find()
    def dialog = new GenericDialog("Forest from Python")
    dialog.addDirectoryField("Classifier", "")
    dialog.addStringField("Detectors", "", 30)
    dialog.addHelp("<html><b>Detectors</b>: where the classifier needs further detectors, their images of the same" +
        " field, whole paths: SE=/data/SE.tif, EDX-S=/data/S.tif")
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    def classifier = dialog.nextString.trim()
    def detectors = dialog.nextString.trim()
    def model = new File(classifier, "classifier.model")
    if (!new File(classifier, "classifier.json").isFile())
        throw new Refusal("${classifier ?: 'no folder'} is no saved classifier", "a folder with classifier.json in it",
            "give the folder classifier in a result of segment or Forest to Python")
    if (!model.isFile())
        throw new Refusal("${classifier} lacks classifier.model, which TWS loads", "a saved classifier with all its files",
            "copy the folder again, or save the classifier again")

    def segmentation = window.segmentation
    window.checkRoom(FeatureFile.of(classifier).names().size())
    def options = Service.option("feature_file", classifier)
    if (detectors)
        options += " " + Service.option("detectors", detectors)
    window.fetch(options) {
        // first the classifier: loading one wipes features. Files of features are there already: what can fail, did
        if (!segmentation.loadClassifier(model.path))
            throw new Refusal("TWS did not load ${model}", "a classifier of grey images for a grey image, of 2D for 2D",
                "look into the Log; an RGB image is to be made grey (Image > Type > 8-bit) before the window is opened")
    }
    window.reorder()
    window.ask("setTrainingComplete", true)
    window.ask("updateAddClassButtons")
    window.classify()
    IJ.log("FijiBridge: the window has the classifier ${classifier} with the classes ${window.classNames.join(', ')}")
}
