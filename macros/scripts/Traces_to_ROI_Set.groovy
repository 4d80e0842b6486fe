// Saves the traces of the open window of Trainable Weka Segmentation as a ROI set, and as a label image.
// In a macro: run("Traces to ROI Set", "roi_set=/strokes.zip label_image=/labels.tif show");

command {
    def window = WekaWindow.find()
    def dialog = new GenericDialog("Traces to ROI Set")
    dialog.addFileField("ROI_set", "")
    dialog.addFileField("Label_image", "")
    dialog.addCheckbox("Show", false)
    dialog.addHelp("<html><b>ROI set</b>: a .zip to write; the ROIs are named by their class, their group is its number<br>" +
        "<b>Label image</b>: a .tif to write, 0 = unlabelled, 1 = first class, ...; empty: none<br>" +
        "<b>Show</b>: the label image")
    dialog.showDialog()
    if (dialog.wasCanceled())
        return
    def set = dialog.nextString.trim(), image = dialog.nextString.trim()
    def show = dialog.nextBoolean
    if (set == "" && image == "" && !show)
        throw new Refusal("neither a ROI set nor a label image", "one of them", "name the file to write")
    def traces = Traces.of(window)
    if (traces.empty)
        throw new Refusal("the window has no traces", "at least one", "draw some, and add them to their classes")
    if (set != "")
        Traces.write(set, traces)
    if (image != "" || show) {
        def labels = labelImage(window, traces)
        if (image != "" && !(window.slices > 1 ? new FileSaver(labels).saveAsTiffStack(image) : new FileSaver(labels).saveAsTiff(image)))
            throw new Refusal("${image} cannot be written", "a folder that is there and may be changed", "check the path")
        if (show)
            labels.show()
    }
    IJ.log("FijiBridge: ${traces.size()} traces of ${window.classNames.join(', ')} saved")
}

/** 0 where there is no trace, or traces of two classes. */
ImagePlus labelImage(WekaWindow window, List<Roi> traces) {
    def image = window.training
    def stack = new ImageStack(image.width, image.height)
    (1..window.slices).each { slice ->
        def labels = new ByteProcessor(image.width, image.height), conflict = new ByteProcessor(image.width, image.height)
        traces.findAll { it.position == slice }.each { trace ->
            def mask = new ByteProcessor(image.width, image.height)
            mask.value = trace.group
            if (trace.line) {
                mask.lineWidth = Math.max(1, Math.round(trace.strokeWidth))
                mask.draw(trace)
            } else
                mask.fill(trace)
            (0..<mask.pixelCount).each { k ->
                int now = labels.get(k), value = mask.get(k)
                if (value && now && now != value)
                    conflict.set(k, 1)
                else if (value)
                    labels.set(k, value)
            }
        }
        (0..<labels.pixelCount).each { if (conflict.get(it)) labels.set(it, 0) }
        stack.addSlice("", labels)
    }
    def labels = new ImagePlus("labels", stack)
    labels.calibration = image.calibration
    labels.setDisplayRange(0, window.classNames.size())
    return labels
}
