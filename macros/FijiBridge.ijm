// FijiBridge: the operations of fijibridge for ImageJ macros.
//
// The first line of a macro file that uses them (the folder macros of ImageJ is searched):
//     // include FijiBridge.ijm
//
// result = fbSegment(image, labels, out, options);
//   image    path of a file, title of an open image, or "" for the active image
//   labels   path of a label image or ROI set, title of an open image, or "ROI Manager"
//   out      folder for the results; "" opens them as images instead
//   options  "key=value key=[value with spaces]", as in run(); "show" opens the results too,
//            "on_error=return" returns "error ..." instead of stopping the macro
//
// A result is a list of key=value lines: fbValue(result, "class_fractions.pore") gives one, List.setList(result) takes all.
// ImageJ takes a function's text for a number inside an expression: give it to a variable first, or begin with "" +.

// --- written by "fijibridge install" ---
function fbPython() { return ""; }
function fbFolder() { return ""; }
function fbHosted() { return 0; }
// --- end of what install writes ---

// The value of a key in a result; "" where it is not there.
function fbValue(result, key) {
    lines = split(result, "\n");
    for (i = 0; i < lines.length; i++)
        if (startsWith(lines[i], key + "="))
            return substring(lines[i], lengthOf(key) + 1);
    return "";
}

// The value of a key in options, "key=value key=[value with spaces]"; "" where it is not there, "true" for a key alone.
function fbOption(options, key) {
    options = " " + options + " ";
    start = indexOf(options, " " + key + "=");
    if (start < 0) {
        if (indexOf(options, " " + key + " ") >= 0)
            return "true";
        return "";
    }
    rest = substring(options, start + lengthOf(key) + 2);
    if (startsWith(rest, "["))
        return substring(rest, 1, indexOf(rest, "]"));
    return substring(rest, 0, indexOf(rest, " "));
}

// Whether a result, asked for with on_error=return, is an error.
function fbFailed(result) {
    return startsWith(result, "error");
}

// Stops the running command with a message, and the macro that called it: exit() would stop the command alone.
function fbFail(text) {
    call("ij.IJ.error", text);
    close("Exception"); // the window in which call() shows how ImageJ aborts a macro
    exit();
}

// The options of run("FB ...", options); "" where the dialog was used.
function fbGiven() {
    given = call("ij.Macro.getOptions");
    if (startsWith("" + given, "null"))
        return "";
    return given;
}

// Whether ImageJ runs without windows.
function fbHeadless() {
    return matches(call("java.awt.GraphicsEnvironment.isHeadless"), "true");
}

// A dialog's field for a file or folder, with a button to choose it; a headless ImageJ has no such field.
function fbAddPath(label, value, isFolder) {
    if (fbHeadless())
        Dialog.addString(label, value, 40);
    else if (isFolder)
        Dialog.addDirectory(label, value);
    else
        Dialog.addFile(label, value);
}

// What the labels of a dialog are at first.
function fbDefaultLabels() {
    if (isOpen("ROI Manager"))
        return "ROI Manager";
    return "";
}

// A new request's id; "error ..." where the service does not start.
function fbBegin() {
    if (fbHosted() == 0) {
        python = fbPython();
        if (python == "")
            return "error\nthis copy of FijiBridge.ijm was not installed\n  expected: the one that fijibridge install writes\n  remedy: run fijibridge install FOLDER, with the folder of this Fiji or ImageJ";
        if (!File.exists("" + fbFolder() + "service.txt")) {
            failed = fbStart();
            if (failed != "")
                return failed;
        }
    }
    id = "fb-" + d2s(getTime(), 0) + "-" + d2s(floor(random * 1e9), 0);
    File.makeDirectory("" + fbFolder() + "exchange/" + id);
    return id;
}

// Starts the service; "" or "error ...".
function fbStart() {
    if (!File.exists(fbPython()))
        return "error\nPython is not where it was when FijiBridge was installed: " + fbPython() + "\n  expected: a Python with fijibridge\n  remedy: run fijibridge install again, from the Python that has fijibridge now";
    showStatus("starting fijibridge...");
    said = exec(fbPython(), "-m", "fijibridge", "serve", "--background", "--folder", fbFolder());
    if (indexOf(said, "ready") >= 0)
        return "";
    return "error\n" + said;
}

// The service's answer to a GET; "<Error ...>" if there is none.
function fbGet(path) {
    info = call("ij.IJ.openAsString", "" + fbFolder() + "service.txt");
    lines = split("" + info, "\n");
    if (startsWith("" + info, "Error") || lines.length < 3)
        return "<Error: " + fbFolder() + "service.txt cannot be read: " + info + ">";
    return File.openUrlAsString("http://127.0.0.1:" + lines[0] + "/" + path + "?token=" + lines[1]);
}

// "key": "value" as JSON.
function fbPair(key, value) {
    value = "" + value;
    if (matches(value, "[ !#-\\[\\]-~]*"))
        return "\"" + key + "\": \"" + value + "\"";
    text = "";
    for (i = 0; i < lengthOf(value); i++) {
        hex = toHex(charCodeAt(value, i));
        text = text + "\\u" + substring("0000", lengthOf(hex)) + hex;
    }
    return "\"" + key + "\": \"" + text + "\"";
}

// The file of an image: a path as it is; an open image, or with "" the active one, as a TIFF in the exchange folder.
function fbImage(value, id) {
    value = "" + value;
    if (startsWith(id, "error") || (value == "" && nImages == 0))
        return "";
    if (value != "") {
        if (indexOf(value, "\n") >= 0 || File.exists(value) || !isOpen(value))
            return value;
    }
    active = 0;
    if (nImages > 0) {
        active = getImageID();
        if (fbHeadless()) { // Fiji runs commands on a thread that may remember an image closed since
            there = false;
            for (i = 1; i <= nImages; i++) {
                selectImage(i);
                there = there || getImageID() == active;
            }
            if (!there)
                active = getImageID(); // the newest
            selectImage(active);
        }
    }
    if (value != "")
        selectImage(value);
    path = fbExported(id);
    if (active != 0)
        selectImage(active);
    return path;
}

// The same of labels, which may be the ROI Manager's too.
function fbLabels(value, id) {
    value = "" + value;
    if (startsWith(id, "error") || value == "")
        return value;
    if (value == "ROI Manager" && isOpen("ROI Manager")) {
        path = "" + fbFolder() + "exchange/" + id + "/labels.zip";
        roiManager("Deselect");
        roiManager("Save", path);
        return path;
    }
    return "" + fbImage(value, id);
}

// Saves the active image by way of a duplicate: its title, its state and its selection stay as they are.
function fbExported(id) {
    name = replace(getTitle(), "\\.[A-Za-z]+$", "");
    name = replace(name, "[^A-Za-z0-9_.-]", "_");
    path = "" + fbFolder() + "exchange/" + id + "/" + name + ".tif";
    original = getImageID();
    selected = selectionType();
    quiet = is("Batch Mode") || fbHeadless(); // else the duplicate would flash up
    if (!quiet)
        setBatchMode(true);
    if (selected != -1)
        run("Select None");
    if (nSlices > 1)
        run("Duplicate...", "title=exported duplicate");
    else
        run("Duplicate...", "title=exported");
    saveAs("Tiff", path);
    close();
    selectImage(original);
    if (selected != -1)
        run("Restore Selection");
    if (!quiet)
        setBatchMode(false);
    return path;
}

// Runs an operation: its result, or the macro's end.
function fbCall(operation, id, arguments, options) {
    quiet = indexOf(options, "on_error=return") >= 0;
    options = replace(options, "on_error=return", "");
    show = matches(options, "(.* )?show( .*)?");
    options = replace(options, "(?<![^ ])show(?![^ ])", "");
    if (startsWith(id, "error"))
        answer = id;
    else
        answer = fbAnswer(operation, id, "{" + arguments + "}", options);
    if (!startsWith(answer, "done")) {
        if (!startsWith(id, "error"))
            fbRelease(id);
        if (quiet)
            return answer;
        if (fbHosted() == 1)
            Ext.fail(replace(answer, "^error\\s*", ""));
        exit(replace(answer, "^error\\s*", ""));
    }
    lines = split(answer, "\n");
    kept = fbValue(answer, "out");
    if (kept == "")
        show = true;
    result = "";
    for (i = 1; i < lines.length; i++) {
        if (!startsWith(lines[i], "show="))
            result = result + lines[i] + "\n";
        else if (show) {
            parts = split(substring(lines[i], 5), "\t");
            open(parts[0]);
            if (endsWith(parts[0], ".tif"))
                rename(parts[1]);
        }
    }
    fbRelease(id);
    showProgress(1);
    showStatus("fijibridge: " + operation + " done");
    return result;
}

// The answer's text: "done ..." or "error ...".
function fbAnswer(operation, id, json, options) {
    if (fbHosted() == 1) {
        run("fijibridge");
        return Ext.call(operation, id, json, options);
    }
    request = "{" + fbPair("operation", operation) + ", \"arguments\": " + json + ", " + fbPair("options", options) + "}";
    File.saveString(request, "" + fbFolder() + "requests/" + id + ".json");
    answer = fbGet("run/" + id);
    unread = File.exists("" + fbFolder() + "requests/" + id + ".json");
    if (startsWith(answer, "<Error") && unread) { // it ended since its last call
        failed = fbStart();
        if (failed != "")
            return failed;
        answer = fbGet("run/" + id);
    }
    n = 0;
    while (startsWith(answer, "running")) {
        state = split(answer, "\t");
        showProgress(parseFloat(state[1]));
        if (state.length > 2)
            showStatus("fijibridge: " + replace(state[2], "\n", ""));
        n++;
        wait(20);
        answer = fbGet("poll/" + id + "/" + n);
    }
    if (startsWith(answer, "<Error"))
        return "error\nthe service ended during the call: " + answer + "\n  expected: an answer\n  remedy: call again, which starts a new one; its log is " + fbFolder() + "service.log";
    return answer;
}

// Lets the service remove the files of a request.
function fbRelease(id) {
    if (fbHosted() == 1) {
        run("fijibridge");
        Ext.release(id);
        return;
    }
    folder = "" + fbFolder() + "exchange/" + id + "/";
    if (!File.exists(folder))
        return;
    answer = fbGet("release/" + id);
    if (startsWith(answer, "<Error")) { // no service any more
        files = getFileList(folder);
        for (i = 0; i < files.length; i++)
            deleted = File.delete(folder + files[i]);
        deleted = File.delete(folder);
    }
}

// --- written by "fijibridge macros" from the catalogue of operations ---

// Train on sparse labels and segment an image.
//   image: micrograph: TIFF, PNG, ...
//   labels: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi)
//   out: folder for the results; it appears when they are complete
//   options: engine, classes, preset, reader, encoder, blocks, coarse_blocks, channels, enlargement, position, upsampler, upsampler_weights, tile, classical, network, detector, detectors, align, trees, max_features, max_depth, seed, databar, probabilities, uncertainty, importance, minimum_size, fill_holes, mode_filter, roi, weights, threads, heap, overwrite
function fbSegment(image, labels, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("labels", fbLabels(labels, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("segment", id, arguments, options);
}

// Segment images and stacks with a saved classifier.
//   classifier: folder of a saved classifier, or a TWS .model
//   images: micrographs or stacks
//   out: folder for the results; it appears when they are complete
//   options: detectors, align, databar, probabilities, uncertainty, minimum_size, fill_holes, mode_filter, roi, slices, weights, threads, heap, overwrite
function fbApply(classifier, images, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("classifier", classifier) + ", "
        + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("apply", id, arguments, options);
}

// Write the features of an image as a stack for ImageJ and TWS.
//   image: micrograph or stack: TIFF, PNG, ...
//   out: folder for the results; it appears when they are complete
//   options: classifier, encoder, blocks, channels, enlargement, position, upsampler, upsampler_weights, tile, classical, network, detector, detectors, align, databar, slices, weights, threads, overwrite
function fbFeatures(image, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("features", id, arguments, options);
}

// Measure the positional bias of a ViT's features on images, and how well each way of removing it does.
//   images: micrographs: TIFF, PNG, ...
//   out: folder for the results; it appears when they are complete
//   options: preset, positions, encoder, databar, weights, threads, overwrite
function fbBias(images, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("bias", id, arguments, options);
}

// Make a classifier that TWS trained on features of fijibridge fit for apply.
//   model: a .model that TWS saved
//   recipe: recipe.json that features wrote beside the features, or a saved classifier
//   out: folder for the results; it appears when they are complete
//   options: overwrite
function fbImportClassifier(model, recipe, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("model", model) + ", "
        + fbPair("recipe", recipe) + ", "
        + fbPair("out", out);
    return "" + fbCall("import_classifier", id, arguments, options);
}

// Measure a segmented image or volume.
//   image: label image or volume (stack): one value a phase
//   out: folder for the results; it appears when they are complete
//   options: classes, background, voxel_size, metrics, axes, conductivities, confidence, surface, threads, overwrite
function fbMeasure(image, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("measure", id, arguments, options);
}

// Make a 3D volume from one segmented 2D micrograph, or from three of different planes.
//   images: segmented micrograph, or three of the planes xy, xz and yz
//   out: the volume, NAME.tif, with its report in NAME_report; or a folder for both
//   options: size, classes, voxel_size, classifier, phases, loss, steps, slices_per_step, periodic, separate, fraction_weight, correlation_weight, interface_weight, chord_weight, shape_weight, block, seed, device, weights, threads, resume, overwrite
function fbReconstruct(images, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("reconstruct", id, arguments, options);
}

// Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.
//   coarse: coarse volume: labels, probabilities of a phase, or a grey CT
//   out: the fine volume, NAME.tif, with its report in NAME_report; or a folder for both
//   options: slices, visible, factor, method, train, out_model, model, iterations, classes, coarse_classes, coarse_as, trust, psf, samples, pixel_size, voxel_size, classifier, phases, loss, steps, slices_per_step, separate, agreement_weight, fraction_weight, correlation_weight, interface_weight, chord_weight, shape_weight, block, seed, device, weights, threads, resume, overwrite
function fbSuperresolve(coarse, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("coarse", fbImage(coarse, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("superresolve", id, arguments, options);
}

// Simulate SE + BSE micrographs of composite electrodes, with labels.
//   out: folder of the data set; kept as far as it got when stopped
//   options: preset, config, count, size, preview, seed, workers, dask, resume, overwrite
function fbSimulate(out, options) {
    id = fbBegin();
    arguments = "" + fbPair("out", out);
    return "" + fbCall("simulate", id, arguments, options);
}

// Measure how diverse simulated micrographs are, beside real ones.
//   dataset: folder of a data set that simulate wrote
//   out: folder for the results; it appears when they are complete
//   options: real, detector, images, encoder, databar, weights, overwrite
function fbDiversity(dataset, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("dataset", dataset) + ", "
        + fbPair("out", out);
    return "" + fbCall("diversity", id, arguments, options);
}

// Train a network that segments SE and BSE images into phases.
//   dataset: folder of a data set, as simulate writes it
//   out: folder of the network; written at each check
//   options: classes, merge, minutes, clock, steps, encoder, pretrained, width, crop, batch, rate, onnx, seed, device, threads, resume, overwrite
function fbTrainNetwork(dataset, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("dataset", dataset) + ", "
        + fbPair("out", out);
    return "" + fbCall("train_network", id, arguments, options);
}

// Segment SE and BSE images with a trained network.
//   network: folder of a trained network
//   out: folder for the results; it appears when they are complete
//   options: se, bse, register, flips, uncertainty, probabilities, minimum_size, fill_holes, mode_filter, rescale, databar, device, threads, overwrite
function fbSegmentNetwork(network, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("network", network) + ", "
        + fbPair("out", out);
    return "" + fbCall("segment_network", id, arguments, options);
}

// Train a segmenting network further on sparse labels of a real image.
//   network: folder of a trained network
//   labels: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi)
//   out: folder for the results; it appears when they are complete
//   options: se, bse, classes, replay, steps, rate, databar, seed, device, threads, overwrite
function fbFineTuneNetwork(network, labels, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("network", network) + ", "
        + fbPair("labels", fbLabels(labels, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("fine_tune_network", id, arguments, options);
}

// Train the learned upsampler on a folder of images.
//   folder: folder of images; nothing has to be labelled
//   out: folder for the results; it appears when they are complete
//   options: encoder, block, target, crops, crop, steps, rate, seed, databar, weights, threads, overwrite
function fbTrainUpsampler(folder, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("folder", folder) + ", "
        + fbPair("out", out);
    return "" + fbCall("train_upsampler", id, arguments, options);
}

// Segment a simulated micrograph with known truth.
//   out: folder for the results; it appears when they are complete
//   options: engine, encoder, size, seed, weights, threads, overwrite
function fbDemo(out, options) {
    id = fbBegin();
    arguments = "" + fbPair("out", out);
    return "" + fbCall("demo", id, arguments, options);
}

// Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it.
//   options: fiji
function fbDoctor(options) {
    id = fbBegin();
    arguments = "";
    return "" + fbCall("doctor", id, arguments, options);
}
