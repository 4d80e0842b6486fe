// Saves the classifier of the open window of Trainable Weka Segmentation so that fijibridge segments images with it:
// FB Apply, "fijibridge apply", load_segmenter in Python.
// In a macro: run("Forest to Python", "out=/phases overwrite");  the classifier is /phases/classifier

command {
    def window = WekaWindow.find()
    if (!window.trained)
        throw new Refusal("the window has no trained classifier", "traces of two classes or more, and Train classifier",
            "train it first")
    def made = window.featureFile
    if (made == null)
        throw new Refusal("this classifier was trained on TWS's own features", "ViT features, see ViT Features in Weka Window",
            "nothing is to be converted: press Save classifier, and give that .model to FB Apply or fijibridge apply")
    if ((window.trainedOn as Set) != (window.names as Set))
        throw new Refusal("the classifier was trained on other features than those in the window",
            "a classifier trained since ViT Features in Weka Window", "press Train classifier")
    def dialog = new GenericDialog("Forest to Python")
    dialog.addDirectoryField("Out", "")
    dialog.addCheckbox("Overwrite", false)
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    def out = dialog.nextString.trim()
    def overwrite = dialog.nextBoolean
    if (out == "")
        throw new Refusal("no folder", "a folder for the classifier", "name one that does not exist yet")
    def folder = Files.createTempDirectory("fijibridge").toFile()
    try {
        def model = new File(folder, "window.model"), featureFile = made.write(folder)
        if (!window.segmentation.saveClassifier(model.path))
            throw new Refusal("TWS did not save its classifier", "a file ${model}", "look into the Log and the Console")
        Service.call("fbImportClassifier", model.path, featureFile.path, out,
            (overwrite ? "overwrite " : "") + "on_error=return")
    } finally {
        folder.deleteDir()
    }
    def text = "FijiBridge: classifier saved as ${new File(out, 'classifier')}"
    IJ.showStatus(text)
    IJ.log(text)
}
