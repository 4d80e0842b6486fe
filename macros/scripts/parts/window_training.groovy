// Shared by the scripts for the TWS window: training on its traces in Python, and what its buttons do with the result.

/** Traces to Python; labels, classifier and features back into the window. */
class WindowTraining {
    static final List<String> PRESETS = ["default", "fast", "best"]
    // kept with the training image: the folder of the latest result, whose classifier the window has; what runs now
    static final String RESULT = "fijibridge.result", CLASSIFIER = "fijibridge.classifier", RUNNING = "fijibridge.running"
    static final String CHOICE = "fijibridge.preset", LATEST = "fijibridge.latest"
    static final int LARGE = 1 << 18 // pixels, from which on a first look is shown

    static String getPreset() {
        def kept = Prefs.get(CHOICE, PRESETS[0])
        return kept in PRESETS ? kept : PRESETS[0]
    }

    /** A button for the training beside TWS's own, with the preset's menu; once a window. */
    static void offer(WekaWindow window) {
        def own = window.button("Train classifier"), panel = own?.parent
        if (panel == null || panel.getClientProperty(CHOICE) || GraphicsEnvironment.headless)
            return
        panel.putClientProperty(CHOICE, true)
        def button = new JButton("Train with ViT"), menu = new JComboBox(PRESETS as String[])
        button.toolTipText = "FijiBridge: train on the traces with features of a vision transformer and TWS's own"
        menu.toolTipText = "FijiBridge's preset: default; fast, for a first look; best, which takes longest"
        menu.selectedItem = preset
        menu.addActionListener({ Prefs.set(CHOICE, menu.selectedItem as String) } as ActionListener)
        button.addActionListener({
            def chosen = menu.selectedItem as String
            if (Recorder.record)
                Recorder.recordString("run(\"Train in Weka Window\", \"preset=${chosen}\");\n".toString())
            new Thread({
                button.enabled = false
                try {
                    Command.of { run(window, chosen) { button.enabled = true } }
                } finally {
                    button.enabled = true
                }
            }, "FijiBridge training").start()
        } as ActionListener)
        def place = panel.layout.getConstraints(own).clone() as GridBagConstraints
        panel.components.each { part -> // a row for each, between Train classifier and what stands below it
            def below = panel.layout.getConstraints(part)
            if (below.gridy > place.gridy) {
                below.gridy += 3
                panel.layout.setConstraints(part, below)
            }
        }
        def next = new JButton("Label here next")
        next.toolTipText = "FijiBridge: where the latest training is least sure"
        next.addActionListener({ new Thread({ Command.of { labelNext(window) } }, "FijiBridge places").start() } as ActionListener)
        [button, menu, next].each {
            place.gridy++
            panel.add(it, place)
        }
        offerApply(window)
        window.window.validate()
    }

    /**
     * Trains and shows the overlay, after a first look where the ViT takes long; calls `shown`. Then the stack's other
     * slices follow, and the features with which TWS itself can apply the classifier, unless a further press comes first.
     */
    static void run(WekaWindow window, String preset, Closure shown = {}) {
        if (!(preset in PRESETS))
            throw new Refusal("preset=${preset}", PRESETS.join(", "), "choose one of them")
        window.checkImage()
        def image = window.training, data = WindowData.of(window)
        if (image.getProperty(RUNNING))
            throw new Refusal("a training in this window is still running", "one at a time", "wait until it has ended")
        def traces = Traces.of(window), used = traces*.group.unique().sort()
        if (data?.obstacle) {
            IJ.log("FijiBridge: trains on the window's traces alone: the loaded data cannot serve, for ${data.obstacle}".toString())
            data = null
        }
        if (data != null) {
            if (used.empty)
                throw new Refusal("no traces beside the loaded data", "one at least", "draw a stroke and add it to its class;" +
                    " TWS's own Train classifier trains on loaded data alone")
            if (window.classNames.size() > data.classNames.size())
                throw new Refusal("the classes ${window.classNames.join(', ')}", "those of the loaded data:" +
                    " ${data.classNames.join(', ')}", "a further class needs data that have it: open the image in a new window")
            used = 1..data.classNames.size()
        } else if (used.size() < 2)
            throw new Refusal("traces of ${used.size()} class${used.size() == 1 ? '' : 'es'}", "traces of two classes or more",
                "draw a stroke on each class, and press its Add button")
        image.setProperty(RUNNING, true)
        def result = new TrainingResult(window, used as List<Integer>, data)
        def start = System.currentTimeMillis(), overlaid = false
        try {
            try {
                result.save(traces)
                if (data == null && preset != "fast" && image.getProperty(RESULT) == null && image.width * image.height >= LARGE) {
                    result.firstLook()
                    say("a first look, by TWS's features alone", start)
                }
                IJ.showStatus("FijiBridge: training" + (data == null ? "; the first time takes longest" : " on traces and ${data}"))
                result.train(preset)
                image.setProperty(LATEST, result.folder.path)
                overlaid = true
                say("trained on ${traces.size()} traces " + (data == null ? "with preset ${preset}" : "and ${data}"), start)
                if (data?.own)
                    IJ.log("FijiBridge: to train with features of the ViT, open the image in a new window, without Load data")
                keep(window, result)
            } finally {
                image.setProperty(RUNNING, null)
                shown()
            }
            if (result.others())
                say("the other slices are segmented", start)
            if (result.latest) {
                handOver(window, result.folder)
                say("classifier and features are in the window", start)
            }
        } catch (Refusal refusal) {
            if (!overlaid || result.latest)
                throw refusal // else the next training took the files away
        } finally {
            if (image.getProperty(RESULT) != result.folder.path)
                result.folder.deleteDir()
        }
    }

    /** The places of which the latest training is least sure, into the ROI Manager. */
    static void labelNext(WekaWindow window) {
        def folder = window.training.getProperty(RESULT) as String
        def file = folder == null ? null : new File(folder, "result/label_next.zip")
        if (folder != null && new File(folder, "loaded.arff").isFile())
            throw new Refusal("the latest training has loaded data, too", "one on traces alone", "look at the overlay: label" +
                " where it is wrong")
        if (file == null || !file.isFile())
            throw new Refusal("no training of this window", "one by Train in Weka Window", "draw a stroke on each class, add it," +
                " then press Train with ViT")
        def manager = RoiManager.instance ?: new RoiManager()
        def older = (0..<manager.count).findAll { manager.getName(it)?.startsWith("label next ") }
        if (older) { // the person's own ROIs stay
            manager.selectedIndexes = older as int[]
            manager.runCommand("Delete")
        }
        def kept = manager.count
        manager.runCommand("Open", file.path)
        if (manager.count == kept)
            throw new Refusal("no place is unsure", "one at least", "look at the overlay: label where it is wrong")
        if (Recorder.record)
            Recorder.recordString("run(\"Label Here Next\");\n")
        def first = manager.getRoi(kept)
        if (window.slices > 1)
            window.displayed.setSlice(first.position)
        window.displayed.setRoi(first.clone() as Roi)
        IJ.showStatus("FijiBridge: ${manager.count - kept} places to label next are in the ROI Manager, the least sure first".toString())
    }

    private static void say(String text, long start) {
        def line = "FijiBridge: ${text}, ${IJ.d2s((System.currentTimeMillis() - start) / 1000.0d, 1)} s".toString()
        IJ.showStatus(line)
        IJ.log(line)
    }

    /** The result's folder stays as long as the window has its classifier, and no longer than ImageJ runs. */
    private static void keep(WekaWindow window, TrainingResult result) {
        def image = window.training
        Runtime.runtime.addShutdownHook(new Thread({ result.folder.deleteDir() }))
        def before = image.getProperty(RESULT) as String
        image.setProperty(RESULT, result.folder.path)
        if (before != null)
            new File(before).deleteDir()
        window.guard("Get probability") {
            def maps = holdsOurs(window) ? TrainingResult.probabilities(window) : null
            maps?.show()
            maps == null ? null : ""
        }
        window.guard("Save classifier") { holdsOurs(window) ? saved(window) : null }
    }

    /** Apply classifier by a process of its own: of the latest training, and of any classifier of TWS's own features. */
    private static void offerApply(WekaWindow window) {
        window.guard("Apply classifier", "of Train in Weka Window") {
            def ours = holdsOurs(window)
            if (!ours && !(window.trainedOn && window.isOwn(window.trainedOn)))
                return null
            new Thread({ Command.of { ours ? ApplyJob.ask(classifier(window)) : ApplyJob.askOf(window) } }, "FijiBridge apply").start()
            return ""
        }
    }

    private static File classifier(WekaWindow window) {
        new File(window.training.getProperty(RESULT) as String, "result/classifier")
    }

    /** Whether the window's classifier is the latest result's. */
    static boolean holdsOurs(WekaWindow window) {
        def known = window.training.getProperty(CLASSIFIER)
        return known != null && window.segmentation.classifier.is(known)
    }

    /** Saves NAME.model as TWS does, and the folder NAME, which FB Apply takes: a .model does not say how features are made. */
    private static String saved(WekaWindow window) {
        def dialog = new SaveDialog("Save the classifier, and a folder beside it", "classifier", ".model")
        if (dialog.fileName == null)
            return ""
        def model = new File(dialog.directory, dialog.fileName)
        def folder = new File(model.parentFile, model.name.replaceFirst(/\.model$/, ""))
        if (folder.exists())
            return "${folder} is there already.\nChoose another name: nothing was saved."
        if (!window.segmentation.saveClassifier(model.path))
            return "TWS did not save the classifier: look into the Log."
        ApplyJob.copy(classifier(window), folder)
        IJ.log("FijiBridge: ${model} for TWS, and the folder ${folder} for FB Apply and fijibridge apply".toString())
        return ""
    }

    /** Classifier and features into the window; where the features do not fit into Java's memory, the buttons do without. */
    private static void handOver(WekaWindow window, File folder) {
        def classifier = new File(folder, "result/classifier")
        def load = {
            if (!window.segmentation.loadClassifier(new File(classifier, "classifier.model").path))
                throw new Refusal("TWS did not load the classifier", "an image of one type in window and classifier",
                    "look into the Log; an RGB image is to be made grey (Image > Type > 8-bit) before the window is opened")
        }
        if (window.isOwn(FeatureFile.of(classifier.path).names())) { // TWS makes them where it needs them
            window.forget()
            window.segmentation.setFeaturesDirty() // before loading, which marks what the result needs
            load()
            window.traceData = null
            ready(window)
            return
        }
        def crowded = null
        try {
            window.checkRoom(FeatureFile.of(classifier.path).names().size())
        } catch (Refusal refusal) {
            crowded = refusal.message
        }
        if (crowded) {
            load()
            IJ.log("FijiBridge: the features stay in Python: ${crowded}")
        } else {
            window.fetch(Service.option("feature_file", classifier.path), load)
            window.reorder()
            window.traceData = window.segmentation.createTrainingInstances()
        }
        ready(window)
    }

    private static void ready(WekaWindow window) {
        window.training.setProperty(CLASSIFIER, window.segmentation.classifier)
        window.ask("setTrainingComplete", true)
        window.ask("updateButtonsEnabling")
    }
}
