// Shared by the scripts for the open window of Trainable Weka Segmentation (TWS). TWS has no public way to its open window,
// so that is asked by reflection, here alone; TWS's classes are found through the window, so that a script compiles where
// TWS is not installed.

/** The open TWS window. */
class WekaWindow {
    static final String CLASS = 'trainableSegmentation.Weka_Segmentation$CustomWindow'
    // kept with the training image, as each script has classes of its own: how its features were made
    static final String TEXT = "fijibridge.features.json", ARRAYS = "fijibridge.features.safetensors"
    // which of TWS's filters were ticked before features were put in, and which have been since
    static final String TICKED = "fijibridge.ticked", MARKED = "fijibridge.marked"
    final window
    final segmentation

    WekaWindow(window) {
        this.window = window
        this.segmentation = ask("getWekaSegmentation")
    }

    /** The TWS window; the active one where there are several. */
    static WekaWindow find() {
        def windows = (WindowManager.getIDList() as List ?: []).collect { WindowManager.getImage(it as int)?.window }
        def open = windows.findAll { it?.class?.name == CLASS }.unique()
        def active = WindowManager.currentWindow
        if (open.empty)
            throw new Refusal("no window of Trainable Weka Segmentation is open", "one with the image to segment",
                "open the image, then Plugins > Segmentation > Trainable Weka Segmentation")
        if (open.size() > 1 && !(active in open))
            throw new Refusal("${open.size()} windows of Trainable Weka Segmentation are open, none of them is active",
                "one of them", "click on the one that is meant, then run the command again")
        return new WekaWindow(active in open ? active : open[0])
    }

    /** Calls a method of the window, also one that TWS keeps to itself. */
    def ask(String name, Object... values) {
        def method = window.class.declaredMethods.find { it.name == name && it.parameterCount == values.length }
        if (method == null)
            throw new Refusal("this TWS window has no ${name}", "TWS 4.0, or a version like it", "update Fiji")
        method.accessible = true
        return method.invoke(window, values)
    }

    def tws(String name) { window.class.classLoader.loadClass("trainableSegmentation." + name) }

    ImagePlus getTraining() { ask("getTrainingImage") as ImagePlus }

    /** What the window shows: a copy of the training image, with TWS's overlay. */
    ImagePlus getDisplayed() { window.imagePlus }

    boolean isClosed() { !(WindowManager.getIDList() as List ?: []).any { WindowManager.getImage(it as int)?.window.is(window) } }

    int getSlices() { training.imageStackSize }

    List<String> getClassNames() { (0..<segmentation.numOfClasses).collect { segmentation.getClassLabel(it) } }

    /** A button by its text; null where there is none. */
    JButton button(String text) { buttons(window).find { it.text == text } }

    private static List<JButton> buttons(Container box) {
        box.components.collectMany { it instanceof JButton ? [it] : it instanceof Container ? buttons(it) : [] }
    }

    /** TWS enables this button when a classifier was trained or loaded. */
    boolean isTrained() { button("Save classifier")?.enabled }

    /** The names of the features that the window holds of a slice, counted from 0. */
    List<String> labels(int slice) {
        def stack = segmentation.featureStackArray.get(slice)?.stack
        return stack == null ? [] : (0..<stack.size).collect { stack.getSliceLabel(it + 1) }
    }

    /** How the features that were put in are made; null where none were. */
    FeatureFile getFeatureFile() {
        def text = training.getProperty(TEXT) as String
        return text == null ? null : new FeatureFile(text, training.getProperty(ARRAYS) as byte[])
    }

    List<String> getNames() { featureFile?.names() ?: [] }

    /** Whether the window still holds what was put in: some of TWS's buttons bring back its own features. */
    boolean holdsFeatures() { names && (0..<slices).every { (labels(it) as Set) == (names as Set) } }

    void forget() { [TEXT, ARRAYS].each { training.setProperty(it, null) } }

    /** What the window's classifier was trained on; empty where TWS does not know any more. */
    List<String> getTrainedOn() {
        segmentation.trainHeader == null ? [] : attributes(segmentation.trainHeader)
    }

    /** Names of the features in data of Weka. */
    static List<String> attributes(data) { (0..<data.numAttributes() - 1).collect { data.attribute(it).name() } }

    /** Whether TWS makes features of whole volumes: its 3D version. */
    boolean isVolume() { segmentation.isProcessing3D() }

    /** TWS's filters that are ticked in Settings; as long as nobody changed the marks of features put in, those before. */
    List<String> getTicked() {
        def marked = this.marked
        return training.getProperty(MARKED) == marked ? training.getProperty(TICKED) as List<String> : marked
    }

    private List<String> getMarked() { named(segmentation.enabledFeatures) }

    private List<String> named(boolean[] on) {
        (families as List<String>).withIndex().findAll { name, k -> on[k] }.collect { name, k -> name }
    }

    /** Whether Settings ask for the features that TWS has by default, of slices. */
    boolean hasDefaults() {
        if (volume)
            return false
        def fresh = tws("FeatureStack").newInstance([new ByteProcessor(1, 1)] as Object[])
        return ticked == named(fresh.enabledFeatures) && [segmentation.minimumSigma, segmentation.maximumSigma] == [1f, 16f]
    }

    /** The features that Settings ask of TWS, as options of Python beside those of another kind. */
    Map<String, Object> ownFeatures(String others) {
        if (ticked.empty)
            throw new Refusal("no filter is ticked in Settings", "one at least beside those of the ViT", "tick some in Settings," +
                " or leave TWS features out")
        def chosen = [features: (ticked.collect { volume ? "tws3d:" + it : it } + others).join(","),
            sigma: "${segmentation.minimumSigma}:${segmentation.maximumSigma}"]
        return volume ? chosen :
            chosen + [membrane: "${segmentation.membranePatchSize}:${segmentation.membraneThickness}"]
    }

    /** Refuses an image that changed behind the window. */
    void checkImage() {
        def image = training, shown = window.imagePlus
        if ([image.width, image.height, image.imageStackSize] != [shown.width, shown.height, shown.imageStackSize])
            throw new Refusal("the image behind the window changed: it is ${image.width} x ${image.height} pixels with" +
                " ${image.imageStackSize} slice(s) now", "${shown.width} x ${shown.height} with ${shown.imageStackSize}, as" +
                " the window was opened with", "close the window and open it again on the image")
    }

    /**
     * Refuses features that do not fit into half of Java's memory: training and result need the other half. Of the
     * features, `copies` are made for each of the dialog's channels, and `others` whatever their number is.
     */
    void checkRoom(int count, int others = count, int copies = 0) {
        checkImage()
        def image = training
        long plane = taken(4L * image.width * image.height) * slices
        long heap = IJ.maxMemory()
        if (count * plane <= heap.intdiv(2))
            return
        long fits = heap.intdiv(2 * plane)
        def what = "${slices > 1 ? slices + ' slices of ' : ''}${image.width} x ${image.height} pixels"
        long fewer = copies > 0 ? (fits - others).intdiv(copies) : 0
        throw new Refusal("${count} features of ${what} take ${mib(count * plane)} MiB, Java's memory is ${mib(heap)} MiB",
            "half of Java's memory at most: ${fits} features of this image",
            (fewer >= 2 ? "set channels to ${fewer} or less, " : "") +
            "give ImageJ more memory (Edit > Options > Memory & Threads), or train on a part of the image and segment" +
            " all of it slice by slice with Plugins > FijiBridge > FB Apply")
    }

    /** What an array takes of the heap: Java's G1 gives one of more than half a region whole regions, up to double. */
    static long taken(long bytes) {
        if (!ManagementFactory.garbageCollectorMXBeans.any { it.name.startsWith("G1") })
            return bytes
        long region = Math.min(32L << 20, Math.max(1L << 20, Long.highestOneBit(IJ.maxMemory().intdiv(2048))))
        long needed = bytes + 16 // its header
        return needed <= region.intdiv(2) ? bytes : region * (needed + region - 1).intdiv(region)
    }

    static long mib(Number bytes) { Math.round(bytes / 1048576.0d) }

    /** Writes the training image, or one slice of it, as it is, for the service: neither its title nor its state changes. */
    void save(File file, int only = 0) {
        def image = training
        // the grey values themselves: without the colours of a lookup table, and channels or frames as slices
        def stack = new ImageStack(image.width, image.height)
        (only ? [only] : 1..slices).each { stack.addSlice("", image.imageStack.getPixels(it)) }
        def copy = new ImagePlus("training", stack)
        copy.calibration = image.calibration
        def done = stack.size > 1 ? new FileSaver(copy).saveAsTiffStack(file.path) : new FileSaver(copy).saveAsTiff(file.path)
        if (!done)
            throw new Refusal("${file} cannot be written", "room for a copy of the image", "free space on the disk")
        def source = image.originalFileInfo?.filePath
        if (source && new File(source).isFile()) // whose tags say what ImageJ does not keep
            new File(file.path + ".original").setText(source, "UTF-8")
    }

    /** Lets TWS use the features in these files, one a slice, and names them. */
    void put(List<File> files, FeatureFile made) {
        def image = training
        def known = made.names()
        // with the families marked that these names tell of, TWS keeps the features when a classifier of them is loaded
        boolean[] enabled = families.collect { family -> known.any { it.startsWith(family) } } as boolean[]
        try {
            (0..<slices).each { segmentation.featureStackArray.get(it)?.setStack(null) } // the old ones make room first
            def before = ticked
            def array = tws("FeatureStackArray").newInstance(slices, segmentation.minimumSigma, segmentation.maximumSigma, false,
                segmentation.membraneThickness, segmentation.membranePatchSize, enabled)
            files.eachWithIndex { file, k ->
                def opened = IJ.openImage(file.path)
                if (opened?.width != image.width || opened.height != image.height)
                    throw new Refusal("${file} does not fit the image", "features of its size", "run the command again")
                // TWS makes its own features again of what it is constructed with; in colour, it would take the bits of
                // these features for colours
                def plane = image.imageStack.getProcessor(k + 1)
                def grey = plane instanceof ColorProcessor ? plane.convertToByteProcessor() : plane
                def stack = tws("FeatureStack").newInstance([grey] as Object[])
                stack.stack = opened.imageStack
                array.set(stack, k)
            }
            array.reference = 0
            segmentation.featureStackArray = array // which also clears TWS's marks that features are to be made
            [min_sigma: "minimumSigma", max_sigma: "maximumSigma", membrane_thickness: "membraneThickness",
                membrane_patch: "membranePatchSize"].each { key, name ->
                def value = made.number(key)
                if (value != null) // those of TWS's filters among these features
                    segmentation."$name" = name.startsWith("membrane") ? value as int : value as float
            }
            segmentation.enabledFeatures = enabled
            training.setProperty(TICKED, before)
            training.setProperty(MARKED, marked)
            if (segmentation.loadedTrainingData == null) // else a class that is added after a classifier was loaded
                segmentation.loadedClassNames = null // makes TWS fail
        } catch (Throwable failed) {
            segmentation.setFeaturesDirty() // TWS makes its own again
            forget()
            throw failed
        }
        training.setProperty(TEXT, made.text)
        training.setProperty(ARRAYS, made.arrays)
        guardButtons()
    }

    /** What the names of TWS's own features begin with. */
    String[] getFamilies() { tws(volume ? "FeatureStack3D" : "FeatureStack").availableFeatures }

    /** Whether TWS itself makes features of these names, of which the first are the image's own channels. */
    boolean isOwn(List<String> known) {
        def image = ["original", "Hue", "Saturation", "Brightness"]
        return known.every { name -> name in image || families.any { name.startsWith(it) } }
    }

    /** Puts the features in the order of the classifier, by which TWS matches them. */
    void reorder() {
        // not FeatureStackArray's own way, which orders the first slice only
        (0..<slices).each { segmentation.featureStackArray.get(it).reorderFeatures(segmentation.trainHeader) }
    }

    /** Makes the result of the window's classifier anew: after loading one, TWS would go on showing the former result. */
    void classify() {
        segmentation.applyClassifier(false)
        showResult(segmentation.classifiedImage)
    }

    /** Sets what Create result, getResult and the overlay show: classes counted from 0. */
    void setResult(ImagePlus labels) {
        def kept = segmentation.class.getDeclaredField("classifiedImage") // TWS has no method for it
        kept.accessible = true
        kept.set(segmentation, labels)
        showResult(labels)
    }

    /** Sets what Plot result evaluates the classifier on: samples of the traces; null: the loaded ones. */
    void setTraceData(samples) {
        def kept = segmentation.class.getDeclaredField("traceTrainingData") // TWS has no method for it
        kept.accessible = true
        kept.set(segmentation, samples)
    }

    private void showResult(ImagePlus labels) {
        ask("setClassfiedImage", labels) // TWS's spelling
        if (ask("isToogleEnabled"))
            ask("toggleOverlay")
        ask("toggleOverlay")
        ask("updateButtonsEnabling")
    }

    /** Two buttons tell, before harm is done, what they cannot know of these features. */
    private void guardButtons() {
        guard("Apply classifier") {
            holdsFeatures() && !isOwn(names) && !WindowTraining.holdsOurs(this) ?
                "This button makes TWS's own features of other images, not ViT features.\nUse Plugins > FijiBridge >" +
                " Forest to Python, then FB Apply with its classifier on those images." : null
        }
        guard("Train classifier") {
            if (!names || holdsFeatures())
                return null
            forget()
            return "The ViT features are gone: Settings, Load classifier or Load data brought back TWS's own.\nRun Plugins >" +
                " FijiBridge > ViT Features in Weka Window to put them back, or press Train again to train on TWS's own."
        }
    }

    /** Asks `why` before a button of TWS's acts: null lets it act, a text is shown instead, "" says that all is done. */
    void guard(String text, String reason = "", Closure<String> why) {
        def button = button(text), key = "fijibridge " + reason
        if (button == null || button.getClientProperty(key))
            return
        def listeners = button.actionListeners as List
        listeners.each { button.removeActionListener(it) }
        button.putClientProperty(key, true)
        button.addActionListener({ event ->
            def message = why()
            if (message == null)
                listeners.each { it.actionPerformed(event) }
            else if (message)
                IJ.showMessage("FijiBridge", message)
        } as ActionListener)
    }

    /** Makes features of the image in Python, of which there is room, and puts them in; before that, `between` runs. */
    FeatureFile fetch(String options, Closure between = {}) {
        def start = System.currentTimeMillis()
        def image = training
        def folder = Files.createTempDirectory("fijibridge").toFile()
        try {
            def file = new File(folder, "training.tif"), out = new File(folder, "features")
            save(file)
            Service.call("fbFeatures", file.path, out.path, options + " on_error=return")
            def files = (out.listFiles() as List).findAll { it.name ==~ /features.*\.tif/ }.sort { it.name }
            if (files.size() != slices)
                throw new Refusal("features of ${files.size()} slice(s)", "of ${slices}", "run the command again")
            def made = FeatureFile.of(out.path)
            checkRoom(made.names().size())
            between()
            put(files, made)
            int count = made.names().size()
            def size = WekaWindow.mib(4L * count * image.width * image.height * slices)
            def text = "FijiBridge: ${count} features of ${slices} slice(s) in the window, ${size} MiB," +
                " ${IJ.d2s((System.currentTimeMillis() - start) / 1000.0d, 1)} s"
            IJ.showStatus(text)
            IJ.log(text)
            return made
        } finally {
            folder.deleteDir()
        }
    }
}
