// Shared by the scripts for the open window of Trainable Weka Segmentation (TWS). TWS has no public way to its open window,
// so that is asked by reflection, here alone; TWS's classes are found through the window, so that a script compiles where
// TWS is not installed.

/** The open TWS window. */
class WekaWindow {
    static final String CLASS = 'trainableSegmentation.Weka_Segmentation$CustomWindow'
    // kept with the training image: the text of recipe.json, and the names of the features that were put in
    static final String RECIPE = "fijibridge.recipe", NAMES = "fijibridge.features"
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

    /** The recipe of the features that were put in; null where none were. */
    Recipe getRecipe() { training.getProperty(RECIPE)?.with { new Recipe(it as String) } }

    List<String> getNames() { (training.getProperty(NAMES) as String)?.split("\n")?.toList() ?: [] }

    /** Whether the window still holds what was put in: some of TWS's buttons bring back its own features. */
    boolean holdsFeatures() { names && (0..<slices).every { (labels(it) as Set) == (names as Set) } }

    void forget() { [RECIPE, NAMES].each { training.setProperty(it, null) } }

    /** What the window's classifier was trained on; empty where TWS does not know any more. */
    List<String> getTrainedOn() {
        def header = segmentation.trainHeader
        return header == null ? [] : (0..<header.numAttributes() - 1).collect { header.attribute(it).name() }
    }

    /** Refuses features that do not fit into half of Java's memory: training and result need the other half. */
    void checkRoom(int count, int channels) {
        def image = training
        long plane = taken(4L * image.width * image.height) * slices
        long heap = IJ.maxMemory()
        if (count * plane <= heap.intdiv(2))
            return
        long fits = heap.intdiv(2 * plane)
        def what = "${slices > 1 ? slices + ' slices of ' : ''}${image.width} x ${image.height} pixels"
        def fewer = fits - (count - channels)
        throw new Refusal("${count} features of ${what} take ${mib(count * plane)} MiB, Java's memory is ${mib(heap)} MiB",
            "half of Java's memory at most: ${fits} features of this image",
            (fewer >= 2 && channels > 0 ? "set channels to ${fewer} or less, " : "") +
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

    /** Writes the training image, as it is, for the service: neither its title nor its state changes. */
    void save(File file) {
        def image = training
        // the grey values themselves: without the colours of a lookup table, and channels or frames as slices
        def stack = new ImageStack(image.width, image.height)
        (1..slices).each { stack.addSlice("", image.imageStack.getPixels(it)) }
        def copy = new ImagePlus("training", stack)
        copy.calibration = image.calibration
        def done = slices > 1 ? new FileSaver(copy).saveAsTiffStack(file.path) : new FileSaver(copy).saveAsTiff(file.path)
        if (!done)
            throw new Refusal("${file} cannot be written", "room for a copy of the image", "free space on the disk")
    }

    /** Lets TWS use the features in these files, one a slice, and names them. */
    void put(List<File> files, Recipe recipe) {
        def image = training
        def known = recipe.names()
        def own = tws(segmentation.isProcessing3D() ? "FeatureStack3D" : "FeatureStack").availableFeatures
        // with the families marked that these names tell of, TWS keeps the features when a classifier of them is loaded
        boolean[] families = own.collect { family -> known.any { it.startsWith(family) } } as boolean[]
        try {
            (0..<slices).each { segmentation.featureStackArray.get(it)?.setStack(null) } // the old ones make room first
            def array = tws("FeatureStackArray").newInstance(slices, 1f, 16f, false, 1, 19, families)
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
            if (known.any { it.startsWith("Membrane_projections") }) { // TWS's defaults, which these were made with
                segmentation.minimumSigma = 1f
                segmentation.maximumSigma = 16f
                segmentation.membraneThickness = 1
                segmentation.membranePatchSize = 19
            }
            segmentation.enabledFeatures = families
            if (segmentation.loadedTrainingData == null) // else a class that is added after a classifier was loaded
                segmentation.loadedClassNames = null // makes TWS fail
        } catch (Throwable failed) {
            segmentation.setFeaturesDirty() // TWS makes its own again
            forget()
            throw failed
        }
        training.setProperty(RECIPE, recipe.text)
        training.setProperty(NAMES, known.join("\n"))
        guardButtons()
    }

    /** Puts the features in the order of the classifier, by which TWS matches them. */
    void reorder() {
        // not FeatureStackArray's own way, which orders the first slice only
        (0..<slices).each { segmentation.featureStackArray.get(it).reorderFeatures(segmentation.trainHeader) }
    }

    /** Makes the result of the window's classifier anew: after loading one, TWS would go on showing the former result. */
    void classify() {
        segmentation.applyClassifier(false)
        ask("setClassfiedImage", segmentation.classifiedImage) // TWS's spelling
        if (ask("isToogleEnabled"))
            ask("toggleOverlay")
        ask("toggleOverlay")
        ask("updateButtonsEnabling")
    }

    /** Two buttons tell, before harm is done, what they cannot know of these features. */
    private void guardButtons() {
        guard("Apply classifier") {
            holdsFeatures() && names.any { it.startsWith("vit_") } ?
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

    private void guard(String text, Closure<String> why) {
        def button = button(text)
        if (button == null || button.getClientProperty("fijibridge"))
            return
        def listeners = button.actionListeners as List
        listeners.each { button.removeActionListener(it) }
        button.putClientProperty("fijibridge", true)
        button.addActionListener({ event ->
            def message = why()
            message ? IJ.showMessage("FijiBridge", message) : listeners.each { it.actionPerformed(event) }
        } as ActionListener)
    }
}

/** Makes features of the window's image in Python and puts them in; between the two `between` runs. */
Recipe features(WekaWindow window, String options, Recipe wanted, Closure between = {}) {
    def image = window.training
    def shown = window.window.imagePlus
    if ([image.width, image.height, image.imageStackSize] != [shown.width, shown.height, shown.imageStackSize])
        throw new Refusal("the image behind the window changed: it is ${image.width} x ${image.height} pixels with" +
            " ${image.imageStackSize} slice(s) now", "${shown.width} x ${shown.height} with ${shown.imageStackSize}, as" +
            " the window was opened with", "close the window and open it again on the image")
    int count = wanted.count()
    window.checkRoom(count, wanted.vitCount())
    def start = System.currentTimeMillis()
    def folder = Files.createTempDirectory("fijibridge").toFile()
    try {
        def file = new File(folder, "training.tif"), out = new File(folder, "features")
        window.save(file)
        Service.call("fbFeatures", file.path, out.path, options + " on_error=return")
        def files = (out.listFiles() as List).findAll { it.name ==~ /features.*\.tif/ }.sort { it.name }
        if (files.size() != window.slices)
            throw new Refusal("features of ${files.size()} slice(s)", "of ${window.slices}", "run the command again")
        def recipe = Recipe.of(out.path)
        between()
        window.put(files, recipe)
        def size = WekaWindow.mib(4L * recipe.names().size() * image.width * image.height * window.slices)
        def text = "FijiBridge: ${recipe.names().size()} features of ${window.slices} slice(s) in the window, ${size} MiB," +
            " ${IJ.d2s((System.currentTimeMillis() - start) / 1000.0d, 1)} s"
        IJ.showStatus(text)
        IJ.log(text)
        return recipe
    } finally {
        folder.deleteDir()
    }
}
