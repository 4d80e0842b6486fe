// Shared by the scripts for the TWS window: a classifier applied to files in a process of its own.

/** fijibridge apply beside ImageJ, which stays free for more training; it goes on when ImageJ is closed. */
class ApplyJob {
    static final String BAR = "images and slices" // of fijibridge apply
    static final String SUFFIXES = /(?i).*\.(tiff?|png|jpe?g|bmp|gif|pgm|jp2|webp)/

    /** Asks, and applies a window's classifier of TWS's own features: trained there or loaded, any of Weka's. */
    static void askOf(WekaWindow window) {
        def folder = Files.createTempDirectory("fijibridge").toFile(), model = new File(folder, "window.model")
        try {
            if (!window.segmentation.saveClassifier(model.path))
                throw new Refusal("TWS did not save its classifier", "a file ${model}", "look into the Log and the Console")
            ask(model, ["--dimensions", window.volume ? "3d" : "2d"]) // which a model of an old TWS does not say
        } finally {
            folder.deleteDir()
        }
    }

    /** Asks for images and an output folder, and starts; the classifier, a folder or a .model, is copied, for training goes on. */
    static void ask(File classifier, List<String> options = []) {
        def dialog = new GenericDialog("Apply classifier")
        dialog.addFileField("Images", "")
        dialog.addDirectoryField("Out", "")
        dialog.addCheckbox("Probabilities", false)
        dialog.addHelp("<html><b>Images</b>: an image, a stack, or a folder of images<br><b>Out</b>: a folder that does not exist" +
            " yet; it appears when all is done<br><b>Probabilities</b>: write the classes' probabilities, too<br><br>The work is" +
            " done by a process of its own: go on in ImageJ meanwhile, or close it.")
        dialog.showDialog()
        if (dialog.wasCanceled())
            return
        def given = new File(dialog.nextString.trim()), out = new File(dialog.nextString.trim())
        def maps = dialog.nextBoolean
        def images = given.isDirectory() ? given.listFiles().findAll { it.name ==~ SUFFIXES && !it.hidden }.sort() : [given]
        if (images.empty || !images[0].isFile())
            throw new Refusal("no image ${given}", "an image, a stack or a folder of images", "check the path")
        if (out.path == "" || out.exists())
            throw new Refusal("the output folder ${out}", "a folder that does not exist yet", "give a new name")
        if (Recorder.record && images.size() == 1)
            Recorder.recordString(("run(\"FB Apply\", \"classifier=[CLASSIFIER] images=[${given}] out=[${out}]" +
                "${maps ? '' : ' probabilities=false'}\"); // CLASSIFIER: what Save classifier wrote\n").toString())
        new ApplyJob(classifier, images, out, options + (maps ? "--probabilities" : "--no-probabilities")).start()
    }

    private final File folder, log
    private final List<File> images
    private final File out
    private final List<String> command

    ApplyJob(File classifier, List<File> images, File out, List<String> options) {
        this.images = images
        this.out = out
        def start = Service.command(["apply"])
        folder = Files.createTempDirectory("fijibridge-apply").toFile()
        log = new File(folder, "log.txt")
        def own = new File(folder, classifier.isFile() ? classifier.name : "classifier")
        copy(classifier, own)
        command = start + [own.path] + images*.path + ["--out", out.path] + options
    }

    /** Copies a folder. */
    static void copy(File from, File to) {
        Files.walk(from.toPath()).withCloseable { paths ->
            paths.each { Files.copy(it, to.toPath().resolve(from.toPath().relativize(it).toString())) }
        }
    }

    private void start() {
        def builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log)
        builder.redirectInput(ProcessBuilder.Redirect.from(new File(System.getProperty("os.name").startsWith("Windows") ? "NUL" : "/dev/null")))
        builder.environment().putIfAbsent("JAVA_HOME", System.getProperty("java.home")) // a .model is read in Java
        def process = builder.start()
        IJ.log("FijiBridge: applying the classifier to ${images.size()} file(s) in process ${process.pid()}, into ${out}".toString())
        def bar = new JProgressBar(0, 100), text = new JLabel("starts"), cancel = new JButton("Cancel")
        def frame = new JFrame("Apply classifier: ${out.name}")
        bar.indeterminate = true
        cancel.addActionListener({ process.destroy() } as ActionListener)
        [(text): BorderLayout.NORTH, (bar): BorderLayout.CENTER, (cancel): BorderLayout.SOUTH].each { part, place -> frame.add(part, place) }
        frame.setSize(420, 110)
        frame.visible = true
        while (process.alive) {
            Thread.sleep(500)
            def line = lines().findAll { it.contains(BAR) }
            def found = line ? (line.last() =~ /(\d+)%.*\|\s*(\d+\/\d+) \[([^<]*)<([^,\]]*)/) : null
            if (found?.find()) {
                bar.indeterminate = false
                bar.value = found.group(1) as int
                text.text = "${found.group(2)} images and slices, ${found.group(4)} left; ImageJ is free meanwhile".toString()
            }
        }
        frame.dispose()
        def said = lines()
        folder.deleteDir()
        if (process.exitValue() != 0 && !out.isDirectory())
            throw new Refusal(process.exitValue() > 128 ? "applying the classifier was cancelled; nothing was written" :
                said.reverse().take(6).reverse().join("\n"))
        IJ.log("FijiBridge: labels are in ${out}${process.exitValue() ? '; some images failed:\n' + said.join('\n') : ''}".toString())
        IJ.showStatus("FijiBridge: labels are in ${out}".toString())
        def labels = out.listFiles().findAll { it.name.endsWith("labels.tif") }
        if (labels.size() == 1)
            IJ.openImage(labels[0].path)?.show()
    }

    private List<String> lines() { log.isFile() ? log.getText("UTF-8").split(/[\r\n]+/).findAll { it.trim() } as List : [] }
}
