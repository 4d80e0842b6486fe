// Shared by the scripts for the TWS window: the files of one training, and what the window shows of them.

/** Image, traces and result of a training, in a folder of its own. */
class TrainingResult {
    final WekaWindow window
    final List<Integer> used // numbers of the classes that are trained
    final WindowData data // null where none were loaded
    final File folder = Files.createTempDirectory("fijibridge").toFile()
    private List<Integer> labelled = []
    private ImagePlus result

    TrainingResult(WekaWindow window, List<Integer> used, WindowData data) {
        this.window = window
        this.used = used
        this.data = data
    }

    private File getStack() { new File(folder, "training.tif") }

    private File getRois() { new File(folder, "traces.zip") }

    /** Whether no further press came since. */
    boolean isLatest() { window.training.getProperty(WindowTraining.LATEST) == folder.path }

    /** Writes what Python is to learn from. */
    void save(List<Roi> traces) {
        labelled = traces*.position.unique().sort()
        window.save(stack)
        if (window.slices == 1)
            traces.each { it.position = 0 }
        Traces.write(rois.path, traces)
    }

    /** The overlay of the slice that is looked at, by TWS's features and a small forest. */
    void firstLook() {
        def out = new File(folder, "look"), slice = window.displayed.currentSlice
        Service.call("fbSegment", stack.path, rois.path, out.path,
            "features=tws head=none trees=30 probabilities=false${slices([slice])} on_error=return")
        put(new File(out, "labels.tif"), [slice])
        show()
    }

    /** Trains; the overlay of the slices with traces and of the one that is looked at. */
    void train(String preset) {
        def wanted = (labelled + window.displayed.currentSlice).unique().sort()
        def out = new File(folder, "result"), part = "result", file = "labels.tif"
        if (data == null)
            Service.call("fbSegment", stack.path, rois.path, out.path, Service.option("preset", preset) + " suggest=8" +
                slices(wanted) + " on_error=return")
        else {
            Service.call("fbTrain", stack.path, rois.path, out.path, data.write(folder) + " on_error=return")
            part = "first"
            file = apply(part, wanted)
        }
        if (window.slices == 1)
            wanted = [1]
        record(part, wanted)
        result = null // the first look is over
        put(new File(folder, "${part}/${file}"), wanted)
        show()
    }

    /** Segments the slices that are left, one by one, as long as no further press comes: whether there were any. */
    boolean others() {
        def done = parts(folder).collectMany { it[1] }, left = (1..window.slices).findAll { !(it in done) }
        // those beside the slice that is looked at first
        left.sort { Math.abs(it - window.displayed.currentSlice) }.eachWithIndex { slice, k ->
            if (!latest)
                return
            IJ.showStatus("FijiBridge: slice ${slice} of the stack, ${left.size() - k} left")
            def name = "slice${slice}".toString()
            def file = apply(name, [slice])
            record(name, [slice])
            if (latest) {
                put(new File(folder, "${name}/${file}"), [slice])
                window.ask("updateButtonsEnabling")
                window.displayed.updateAndDraw()
            }
        }
        return !left.empty
    }

    /** Segments slices with the classifier into a folder of this name: the file of labels in it. */
    private String apply(String name, List<Integer> wanted) {
        Service.call("fbApply", new File(folder, "result/classifier").path, stack.path, new File(folder, name).path,
            "on_error=return" + slices(wanted))
        return "training_labels.tif"
    }

    private String slices(List<Integer> wanted) { window.slices == 1 ? "" : " slices=[${wanted.join(',')}]" }

    /** Which slices a part of the result holds, for Get probability. */
    private void record(String name, List<Integer> held) {
        new File(folder, "parts.txt").append("${name}\t${held.join(',')}\n")
    }

    private static List<List> parts(File folder) {
        def file = new File(folder, "parts.txt")
        return file.isFile() ? file.readLines().collect { line ->
            def (name, held) = line.split("\t")
            [name, held.split(",")*.toInteger()]
        } : []
    }

    /** Labels of some slices into the result: TWS counts from 0, and what has no label yet is 255. */
    private void put(File file, List<Integer> held) {
        if (window.closed)
            throw new Refusal("the window was closed during the training", "an open window for the result",
                "open the image in TWS again; ROI Set to Traces brings saved traces back")
        def labels = IJ.openImage(file.path)
        def numbers = new int[256]
        numbers[0] = 255
        used.eachWithIndex { number, k -> numbers[k + 1] = number - 1 }
        if (result == null) {
            def image = window.training, empty = new ImageStack(image.width, image.height)
            (1..window.slices).each {
                def plane = new ByteProcessor(image.width, image.height)
                plane.set(255)
                empty.addSlice("", plane)
            }
            result = new ImagePlus("Classification result", empty)
            result.calibration = image.calibration
        }
        held.eachWithIndex { slice, k ->
            def plane = labels.imageStack.getProcessor(k + 1)
            plane.applyTable(numbers)
            def pixels = result.imageStack.getPixels(slice) as byte[]
            System.arraycopy(plane.pixels, 0, pixels, 0, pixels.length)
        }
    }

    private void show() { window.result = result }

    /** Python's maps of the latest result, which TWS would take long to make anew; null where a slice has none yet. */
    static ImagePlus probabilities(WekaWindow window) {
        def folder = new File(window.training.getProperty(WindowTraining.RESULT) as String)
        def maps = new TreeMap<Integer, ImageStack>()
        parts(folder).each { name, held ->
            def file = new File(folder, name as String).listFiles()?.find { it.name.endsWith("probabilities.tif") }
            def opened = file == null ? null : IJ.openImage(file.path)
            def each = opened == null ? 0 : opened.stackSize.intdiv(held.size())
            if (each > 0)
                held.eachWithIndex { slice, k ->
                    def own = new ImageStack(opened.width, opened.height)
                    (1..each).each { n -> own.addSlice(opened.imageStack.getSliceLabel(k * each + n), opened.imageStack.getPixels(k * each + n)) }
                    maps[slice as Integer] = own
                }
        }
        if (maps.size() != window.slices)
            return null
        def all = new ImageStack(window.training.width, window.training.height)
        maps.values().each { own -> (1..own.size).each { all.addSlice(own.getSliceLabel(it), own.getPixels(it)) } }
        def shown = new ImagePlus("Probability maps", all)
        shown.calibration = window.training.calibration
        def classes = all.size.intdiv(window.slices)
        if (window.slices > 1)
            shown.setDimensions(classes, window.slices, 1)
        return shown
    }
}
