// Shared by the scripts for the TWS window: samples of earlier labels, which Load data brought into the window.

/** The samples that TWS keeps of Load data: they train together with the window's traces, on their own features. */
class WindowData {
    final WekaWindow window
    final samples // Weka's Instances

    private WindowData(WekaWindow window) {
        this.window = window
        this.samples = window.segmentation.loadedTrainingData
    }

    /** Those of a window; null where none were loaded. */
    static WindowData of(WekaWindow window) { window.segmentation.loadedTrainingData == null ? null : new WindowData(window) }

    int getCount() { samples.numInstances() }

    List<String> getNames() { WekaWindow.attributes(samples) }

    List<String> getClassNames() { samples.classAttribute().with { known -> (0..<known.numValues()).collect { known.value(it) } } }

    /** Whether TWS makes these features itself. */
    boolean isOwn() { window.isOwn(names) }

    /** Why the samples cannot train together with traces; null where they can. */
    String getObstacle() {
        if (own)
            return null
        if (names.any { it.startsWith("linear_") })
            return "they have features of Train with ViT, which each training learns anew (Traces to ROI Set keeps the traces" +
                " themselves)"
        if (window.holdsFeatures() && (window.names as Set) == (names as Set))
            return null
        return "nothing says how their features are made (put these features into the window first, by ViT Features in Weka" +
            " Window)"
    }

    /** Writes the samples for Python, and how their features are made where TWS does not make them: options of train. */
    String write(File folder) {
        def file = new File(folder, "loaded.arff")
        if (!window.segmentation.writeDataToARFF(samples, file.path))
            throw new Refusal("${file} cannot be written", "room for the loaded samples", "free space on the disk")
        def options = Service.option("data", file.path)
        if (!own) {
            def features = new File(folder, "features")
            features.mkdir()
            window.featureFile.write(features)
            options += " " + Service.option("feature_file", features.path)
        }
        return options
    }

    String toString() {
        "${count} loaded samples, by their features: ${names.size()}" + (own ? " of TWS's own, none of the ViT" : "")
    }
}
