// Sets up Python for a Fiji with the update site: Appose, which Fiji brings, builds the environment of
// lib/fijibridge/pixi.toml in the folder of its environments. The first command that needs Python calls this.
// In a macro, or in an ImageJ without windows, with no question asked: run("FB Set Up Python", "download");

/** What is downloaded and how large it is, in GB, by platform: PyTorch for Linux brings the libraries of CUDA. */
class Platform {
    static final Map NAMES = ["LINUX|X64": "linux-64", "LINUX|ARM64": "linux-aarch64", "MACOS|ARM64": "osx-arm64",
        "WINDOWS|X64": "win-64"]
    static final String SOURCES = "github.com, conda.anaconda.org and pypi.org"
    final String name
    final double download, disk

    Platform(String appose) {
        name = NAMES[appose]
        download = name == "linux-64" ? 3.5 : 0.7
        disk = name == "linux-64" ? 8 : 2.5
    }
}

/** A small window with a bar, and a button that cancels; in an ImageJ without windows the status bar alone. */
class ProgressWindow {
    static final String STARTING = "looking for what is there already"
    volatile boolean cancelled = false
    private javax.swing.JDialog dialog
    private javax.swing.JProgressBar bar
    private javax.swing.JLabel label

    ProgressWindow(String title) {
        if (GraphicsEnvironment.headless)
            return
        javax.swing.SwingUtilities.invokeAndWait {
            dialog = new javax.swing.JDialog((java.awt.Frame) IJ.instance, title, false)
            label = new javax.swing.JLabel(STARTING)
            bar = new javax.swing.JProgressBar(0, 1000)
            bar.indeterminate = true
            def button = new JButton("Cancel")
            button.addActionListener({
                cancelled = true
                label.text = "cancelling"
            } as ActionListener)
            def panel = new javax.swing.JPanel(new java.awt.BorderLayout(8, 8))
            panel.border = javax.swing.BorderFactory.createEmptyBorder(12, 12, 12, 12)
            panel.add(label, java.awt.BorderLayout.NORTH)
            panel.add(bar, java.awt.BorderLayout.CENTER)
            panel.add(button, java.awt.BorderLayout.EAST)
            dialog.contentPane = panel
            dialog.defaultCloseOperation = javax.swing.WindowConstants.DO_NOTHING_ON_CLOSE
            bar.preferredSize = new java.awt.Dimension(440, 24)
            dialog.pack()
            dialog.locationRelativeTo = null
            dialog.visible = true
        }
    }

    /** Shows a step, and how much of it is done; a total of 0 is not known. */
    void show(String step, long done, long total) {
        if (cancelled)
            return
        IJ.showStatus("fijibridge: " + step)
        if (total > 0)
            IJ.showProgress(Math.min(1d, done / (double) total))
        if (dialog != null)
            javax.swing.SwingUtilities.invokeLater {
                label.text = step.take(80)
                bar.indeterminate = total <= 0
                if (total > 0)
                    bar.value = (int) (1000 * done / total)
            }
    }

    void close() {
        IJ.showStatus("")
        IJ.showProgress(1.0)
        if (dialog != null)
            javax.swing.SwingUtilities.invokeLater { dialog.dispose() }
    }
}

/** The environment of the update site's wheel. */
class PythonSetUp {
    static final String OUTCOME = "fijibridge.set_up", MARKER = "fijibridge.json"
    // starts Python's code in any folder: what lies there is not imported
    static final String CODE = "import sys; sys.path[:] = [p for p in sys.path if p]; "
    static final int LINES = 40
    final File fiji = new File(IJ.getDirectory("imagej")), site = new File(fiji, "lib/fijibridge")
    final File pixi = new File(site, "pixi.toml"), manifest = new File(fiji, "plugins/FijiBridge/" + MARKER)
    final File wheel, environments, folder
    final Class appose
    final Platform platform
    private final List<String> said = Collections.synchronizedList([])

    PythonSetUp() {
        def found = pixi.isFile() ? pixi.getText("UTF-8") =~ /path = "([^"]+\.whl)"/ : null
        wheel = found?.find() ? new File(site, found.group(1)) : null
        if (wheel == null || !wheel.isFile())
            throw new Refusal("${wheel ?: pixi} is not there", "the files of the update site of FijiBridge",
                "choose Help > Update... again, then restart Fiji")
        try {
            appose = Class.forName("org.apposed.appose.Appose")
            appose.getMethod("pixi")
        } catch (ClassNotFoundException | NoSuchMethodException old) {
            throw new Refusal("this Fiji has no Appose that builds environments", "org.apposed:appose, 0.9 or later",
                "update Fiji (Help > Update...); or, ${byHand()}")
        }
        platform = new Platform(Class.forName("org.apposed.appose.util.Platforms").PLATFORM)
        environments = new File(Class.forName("org.apposed.appose.util.Environments").apposeEnvsDir())
        def digest = java.security.MessageDigest.getInstance("SHA-256").digest(wheel.bytes).encodeHex().toString().take(8)
        folder = new File(environments, "fijibridge-${wheel.name.split("-")[1]}-${digest}")
    }

    /** Sets up what is not there yet; asks first, if it is to, unless it only renews. */
    void run(boolean ask) {
        def before = recorded("environment"), beforePython = recorded("python")
        boolean there = new File(folder, MARKER).isFile()
        if (!there) {
            check()
            if (ask && before == null)
                question()
            build()
        }
        try {
            record()
        } catch (Refusal refusal) {
            if (!there)
                remove(folder)
            throw refusal
        }
        def old = before == null ? null : new File(environments, before)
        if (old != null && old != folder && before.startsWith("fijibridge-") && old.isDirectory()) {
            python(new File(beforePython), "from fijibridge.frontends.process import run; run()", "serve", "--stop")
            remove(old)
        }
    }

    private String byHand() {
        return "with a Python of your own, pip install \"${wheel}\" and then fijibridge install \"${fiji}\""
    }

    private String recorded(String key) {
        def found = manifest.isFile() ? manifest.getText("UTF-8") =~ /"${key}": "([^"]*)"/ : null
        return found?.find() ? found.group(1) : null
    }

    private void check() {
        if (platform.name == null)
            throw new Refusal("no PyTorch for this kind of computer (${System.getProperty('os.name')}, " +
                "${System.getProperty('os.arch')})", "one of ${Platform.NAMES.values().join(', ')}", byHand())
        def there = environments
        while (!there.exists())
            there = there.parentFile
        double free = there.usableSpace / 1e9
        if (free < platform.disk)
            throw new Refusal(String.format("%.1f GB are free for %s", free, environments), platform.disk + " GB",
                "free space, or let APPOSE_ENVS_DIR name a folder on another disk")
    }

    private void question() {
        if (GraphicsEnvironment.headless)
            throw new Refusal("Python is not set up, and ImageJ runs without windows", "an environment in ${folder}",
                "run(\"FB Set Up Python\", \"download\"); first, which downloads about ${platform.download} GB")
        def text = "FijiBridge works in Python, which is set up once.\n \nDownloaded: Python, PyTorch and further packages," +
            " about ${platform.download} GB,\nfrom ${Platform.SOURCES}.\nWritten: about ${platform.disk} GB into\n" +
            "${folder}\n \nIt takes minutes, and can be cancelled. Then your command goes on."
        def choices = ["Download and set up", "Cancel"] as Object[]
        int chosen = javax.swing.JOptionPane.showOptionDialog(IJ.instance, text, "FijiBridge: set up Python",
            javax.swing.JOptionPane.DEFAULT_OPTION, javax.swing.JOptionPane.QUESTION_MESSAGE, null, choices, choices[0])
        if (chosen != 0)
            throw cancelled()
    }

    private Refusal cancelled() {
        return new Refusal("the set-up of Python was cancelled; nothing was left", "Python for fijibridge",
            "run the command again and let it be set up; or, ${byHand()}")
    }

    private void build() {
        def tool = new File(environments, ".pixi/bin")
        boolean hadTool = tool.isDirectory()
        def window = new ProgressWindow("FijiBridge: set up Python")
        Throwable failure = null
        boolean complete = false
        try {
            remove(folder) // what a set-up that was killed left
            Files.createDirectories(folder.toPath())
            Files.copy(wheel.toPath(), new File(folder, wheel.name).toPath())
            // of all the site's platforms only this one is to be solved
            def content = pixi.getText("UTF-8").replaceFirst(/platforms = \[.*?\]/, "platforms = [\"${platform.name}\"]")
            def builder = appose.getMethod("pixi").invoke(null).content(content).scheme("pixi.toml").base(folder)
            def consumer = Class.forName("org.apposed.appose.Builder\$ProgressConsumer")
            builder.subscribeProgress({ step, done, total -> window.show(step, done, total) }.asType(consumer))
            def keep = { String line ->
                said << line.trim()
                if (said.size() > LINES)
                    said.remove(0)
            } as java.util.function.Consumer
            builder.subscribeOutput(keep).subscribeError(keep)
            def proxy = proxies()
            proxy.each { key, value -> builder.env(key, value) }
            // Appose ends its pixi when the thread that waits for it ends
            def thread = new Thread({
                try {
                    def pixi = builder.build().launchArgs()[0]
                    if (interpreter() == null) { // Appose 0.9 leaves this to the environment's first use
                        window.show("pixi looks for the packages", 0, 0)
                        install(pixi, proxy, keep)
                    }
                } catch (Throwable error) {
                    failure = error
                }
            }, "FijiBridge set-up")
            window.show(ProgressWindow.STARTING, 0, 0)
            IJ.resetEscape()
            long before = environments.usableSpace
            thread.start()
            while (thread.alive && !window.cancelled && !IJ.escapePressed()) {
                thread.join(200)
                double written = (before - environments.usableSpace) / 1e9
                if (said && written > 0.05) // pixi itself tells no size
                    window.show(String.format("%.1f of about %.1f GB: %s", written, platform.disk, said.last()),
                        (long) (written * 1000), (long) (platform.disk * 1000))
            }
            if (thread.alive) {
                thread.interrupt()
                thread.join(20000)
                throw cancelled()
            }
            if (failure != null)
                throw explained(failure)
            complete = true
        } catch (IOException error) {
            throw new Refusal("${folder} cannot be written (${error.message})", "a folder of your own, with room on its disk",
                "let APPOSE_ENVS_DIR name another folder, then start Fiji again")
        } finally {
            window.close()
            if (!complete) {
                remove(folder)
                if (!hadTool)
                    remove(tool)
                [tool.parentFile, environments].each { it.delete() } // where nothing else is in it
            }
        }
    }

    /** Lets pixi install the packages; it ends with the thread. */
    private void install(String pixi, Map<String, String> proxies, java.util.function.Consumer<String> keep) {
        def builder = new ProcessBuilder(pixi, "install", "-v", "--manifest-path", new File(folder, "pixi.toml").path)
        builder.environment().putAll(proxies)
        def process = builder.directory(folder).redirectErrorStream(true).start()
        try {
            process.outputStream.close()
            def reader = Thread.start { process.inputStream.eachLine("UTF-8") { keep.accept(it) } }
            if (process.waitFor() != 0) {
                reader.join()
                throw new IOException("pixi ended with status ${process.exitValue()}")
            }
        } finally {
            process.descendants().forEach { it.destroyForcibly() }
            process.destroyForcibly()
        }
    }

    private File interpreter() {
        def place = new File(folder, ".pixi/envs/default")
        return [new File(place, "python.exe"), new File(place, "bin/python")].find { it.exists() }
    }

    /** The proxy of Edit > Options > Proxy Settings, which pixi does not know; and that of the system's environment, which
     *  Java does not know. */
    private static Map<String, String> proxies() {
        def host = System.getProperty("https.proxyHost") ?: System.getProperty("http.proxyHost")
        def given = System.getenv("HTTPS_PROXY") ?: System.getenv("https_proxy")
        if (host) {
            def port = System.getProperty("https.proxyPort") ?: System.getProperty("http.proxyPort") ?: "80"
            System.setProperty("https.proxyHost", host)
            System.setProperty("https.proxyPort", port)
            return given ? [:] : [HTTPS_PROXY: "http://${host}:${port}".toString(), HTTP_PROXY: "http://${host}:${port}".toString()]
        }
        def parsed = given ? new URI(given.contains("://") ? given : "http://" + given) : null
        if (parsed?.host) {
            System.setProperty("https.proxyHost", parsed.host)
            System.setProperty("https.proxyPort", String.valueOf(parsed.port < 0 ? 80 : parsed.port))
        }
        return [:]
    }

    private Refusal explained(Throwable failure) {
        def causes = []
        for (def cause = failure; cause != null && causes.size() < 10; cause = cause.cause)
            causes << cause
        def lines = new ArrayList(said).findAll { it }
        def text = (causes*.toString() + lines).join("\n")
        boolean network = causes.any { it instanceof UnknownHostException || it instanceof SocketException ||
            it instanceof SocketTimeoutException || it instanceof javax.net.ssl.SSLException }
        network |= (text =~ /(?i)dns error|error sending request|connection (refused|reset)|timed? ?out|unreachable|proxy|certificate/).find()
        IJ.log("FijiBridge: Python could not be set up:\n" + text)
        def reason = lines ? lines.last() : causes.last().toString().replaceFirst(/^(\w+\.)+/, "")
        if (network)
            return new Refusal("Python cannot be downloaded: ${reason.take(200)}", "a connection to ${Platform.SOURCES}, once",
                "check the network; behind a proxy, set it in Edit > Options > Proxy Settings... and run the command again;" +
                " or, ${byHand()}")
        return new Refusal("Python could not be set up: ${reason.take(200)}", "an environment in ${folder}",
            "look into the Log; run the command again; or, ${byHand()}")
    }

    /** Lets the environment's Python say where it is; that it does so shows that it works. */
    private void record() {
        def built = interpreter()
        IJ.showStatus("fijibridge: looking whether Python works...")
        def answer = built == null ? "no Python in ${folder}" : python(built,
            "from fijibridge.frontends.imagej.update_site import set_up; set_up(*sys.argv[1:])", fiji.path, folder.path)
        IJ.showStatus("")
        if (answer) {
            IJ.log("FijiBridge: the Python that was set up does not work:\n" + answer)
            throw new Refusal("the Python that was set up does not work: ${answer.readLines().last().take(300)}",
                "fijibridge in ${folder}", "delete that folder if it is there, and run the command again; or, ${byHand()}")
        }
    }

    /** Runs code; what it says if it fails. */
    private static String python(File python, String code, String... arguments) {
        try {
            def process = new ProcessBuilder([python.path, "-c", CODE + code, *arguments]).redirectErrorStream(true).start()
            process.outputStream.close()
            def answer = process.inputStream.getText("UTF-8").trim()
            return process.waitFor() == 0 ? "" : (answer ?: "status ${process.exitValue()}".toString())
        } catch (IOException error) {
            return error.message
        }
    }

    /** Removes a folder; a program that just ended may hold its files for a moment (Windows). */
    private static void remove(File folder) {
        for (int i = 0; folder.exists() && i < 40; i++) {
            if (i > 0)
                Thread.sleep(250)
            try {
                def paths = Files.walk(folder.toPath())
                paths.sorted(Comparator.reverseOrder()).forEach { Files.deleteIfExists(it) }
                paths.close()
            } catch (IOException | UncheckedIOException busy) { // once more
            }
        }
    }
}

command {
    def options = (Macro.options ?: "").trim().split(" ") as List
    boolean called = options.contains("called")
    def outcome = "the set-up of Python was stopped"
    try {
        new PythonSetUp().run(!options.contains("download"))
        outcome = "done"
        if (!called)
            IJ.showStatus("fijibridge: Python is set up")
    } catch (Refusal refusal) {
        outcome = refusal.message
        if (!called) // else the command that called says so
            throw refusal
    } catch (Exception other) { // a fault of this script's: told, where else the macro would be stopped without a word
        outcome = "the set-up of Python failed: ${other}\n  expected: an environment\n  remedy: report this, with the Log"
        IJ.log(outcome + "\n" + other.stackTrace.join("\n"))
    } finally {
        System.setProperty(PythonSetUp.OUTCOME, outcome)
    }
}
