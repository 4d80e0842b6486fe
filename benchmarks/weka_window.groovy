// For weka_window.py: on each image of the folder, TWS's own training and Train in Weka Window, behind tests/weka_window/driver.groovy.
def seconds = { Closure what ->
    def start = System.currentTimeMillis()
    what()
    return (System.currentTimeMillis() - start) / 1000.0d
}
def preset = System.getProperty("preset"), own = Boolean.getBoolean("own")
new File(WORK).list().findAll { it.endsWith("_image.tif") }.sort().each { name ->
    def stem = name - "_image.tif"
    def labels = image(stem + "_labels.tif").getProcessor()
    def shown = openTws(image(name))
    (0..<(labels.statistics.max as int) - 2).each { weka(shown, "createNewClass", "class ${it + 3}") }
    traces(shown, labels)
    def save = { kind ->
        def made = result(shown)
        new FileSaver(made).saveAsTiff("${WORK}/${stem}_${kind}.tif")
    }
    if (own) {
        say("${stem} own", seconds { weka(shown, "trainClassifier") })
        save("own")
    }
    IJ.log("\\Clear")
    def failed = ""
    say("${stem} first", seconds { failed = script("Train_in_Weka_Window", "preset=" + preset) })
    say("${stem} failed", failed)
    save("window")
    say("${stem} log first", IJ.log)
    // a further stroke: the first trace of the first class once more, a row further down
    def trace = segmentation(shown).getExamples(0, 1)[0].bounds
    segmentation(shown).addExample(0, new Roi(trace.x, Math.min(trace.y + 1, labels.height - 2), trace.width, 1), 1)
    IJ.log("\\Clear")
    say("${stem} further", seconds { script("Train_in_Weka_Window", "preset=" + preset) })
    say("${stem} log further", IJ.log)
    shown.changes = false
    shown.close()
}
System.exit(0)
