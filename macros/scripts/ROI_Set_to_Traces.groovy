// Adds the ROIs of a set, or of the ROI Manager, to the open window of Trainable Weka Segmentation as traces. The class
// of a ROI is its name without the number that ImageJ appended ("pore-2"), or its group if it has no name of its own; classes that the
// window lacks are created.
// In a macro: run("ROI Set to Traces", "roi_set=/strokes.zip");

command {
    def window = WekaWindow.find()
    def dialog = new GenericDialog("ROI Set to Traces")
    dialog.addFileField("ROI_set", "")
    dialog.addMessage("Empty: the ROIs of the ROI Manager")
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    def path = dialog.nextString.trim()
    def rois = path != "" ? readRois(path) : RoiManager.instance?.roisAsArray?.toList() ?: []
    if (rois.empty)
        throw new Refusal(path != "" ? "${path} holds no ROI" : "the ROI Manager is not open or empty", "ROIs of each class",
            "name a ROI set (.zip), or open the ROI Manager and add ROIs")
    rois.each { checkPlace(window, it) }

    // all is planned before the first trace is added, so that a set is taken whole or not at all
    def names = window.classNames as List<String>
    def used = (0..<names.size()).findAll { k -> (1..window.slices).any { window.segmentation.getExamples(k, it) } } as Set
    def classes = rois.collect { classOf(it, names, used) }
    int most = window.tws("WekaSegmentation").MAX_NUM_CLASSES
    if (names.size() > most)
        throw new Refusal("the ROIs are of ${names.size()} classes", "${most} at most, as many as TWS can hold", "merge some")

    names.eachWithIndex { name, k ->
        window.segmentation.setClassLabel(k, name)
        if (k >= window.segmentation.numOfClasses)
            window.segmentation.addClass()
    }
    window.ask("updateAddClassButtons")
    int current = window.window.imagePlus.currentSlice
    [rois, classes].transpose().each { Roi roi, int k ->
        def trace = roi.clone() as Roi
        int slice = Math.max(roi.position, roi.ZPosition) ?: current
        trace.position = 0 // it shows on the slice of TWS's own list
        window.segmentation.addExample(k, trace, slice)
    }
    ["drawExamples", "updateExampleLists", "updateButtonsEnabling"].each { window.ask(it) }
    IJ.log("FijiBridge: ${rois.size()} ROIs added as traces of ${classes.unique().collect { names[it] }.join(', ')}")
}

List<Roi> readRois(String path) {
    try {
        if (path.toLowerCase().endsWith(".roi"))
            return [RoiDecoder.openFromByteArray(new File(path).bytes)].findAll()
        return new ZipFile(path).withCloseable { zip ->
            zip.entries().toList().findAll { it.name ==~ /(?i)(.*\/)?(?!\._)[^\/]*\.roi/ }.collect { entry ->
                def roi = RoiDecoder.openFromByteArray(zip.getInputStream(entry).bytes)
                roi.name = roi.name ?: entry.name.replaceFirst(/(?i)\.roi$/, "").replaceFirst(/.*\//, "")
                roi
            }
        }
    } catch (IOException failed) {
        throw new Refusal("${path} cannot be read as a ROI set (${failed.message})", "a .zip or .roi of the ROI Manager",
            "check the path; in the ROI Manager: More >> Save...")
    }
}

/** Refuses what would stop TWS in the middle of a training. */
void checkPlace(WekaWindow window, Roi roi) {
    def image = window.training
    def box = roi.bounds
    if (!roi.line && (box.x < 0 || box.y < 0 || box.x + box.width > image.width || box.y + box.height > image.height))
        throw new Refusal("ROI ${roi.name} reaches outside the image, which is ${image.width} x ${image.height} pixels",
            "ROIs inside the image", "draw it on this image, or clip it (Edit > Selection > Select All, then AND)")
    if (roi.type in [Roi.POINT, Roi.ANGLE] || !(roi.area || roi.line))
        throw new Refusal("ROI ${roi.name} is of type ${roi.typeAsString}", "areas and lines", "draw it with another tool")
    if (Math.max(roi.position, roi.ZPosition) > window.slices)
        throw new Refusal("ROI ${roi.name} lies on slice ${Math.max(roi.position, roi.ZPosition)}",
            "slices 1 to ${window.slices}, as the image has", "take the ROI set of this image")
}

/** The number of a ROI's class, counted from 0; classes it needs are added to the names, or name an unused one. */
int classOf(Roi roi, List<String> names, Set used) {
    def name = roi.name ?: ""
    def longest = name
    def number = /-(0|[1-9]\d?)$/ // as ImageJ appends it to a name that is there already; "NMC 811" and "class 1" stay
    while (!names.any { it.equalsIgnoreCase(name) } && name =~ number)
        name = name.replaceFirst(number, "")
    def named = name != "" && !(name ==~ /\d+(-\d+)*/)
    if (roi.group == 0 && !named)
        throw new Refusal("ROI ${longest ?: 'without a name'} has neither a group nor a name of its own",
            "a group, or a class's name, like pore-1", "set its group (ROI Manager > Properties...), or rename it")
    def free = { it >= names.size() || (names[it] ==~ /class \d+/ && !(it in used)) } // TWS's, that nobody named or used
    int k = named ? names.findIndexOf { it.equalsIgnoreCase(name) } : roi.group - 1
    if (k < 0) // the group's number, unless another class has it, else the first that is free or a new one
        k = roi.group > 0 && free(roi.group - 1) ? roi.group - 1 : (0..names.size()).find(free)
    while (names.size() <= k)
        names << "class ${names.size() + 1}".toString()
    if (named && free(k))
        names[k] = name
    used << k
    return k
}
