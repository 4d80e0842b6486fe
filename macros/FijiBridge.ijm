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
function fbStarter() { return ""; }
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
// What stands inside of brackets is a value, whatever it looks like.
function fbOption(options, key) {
    rest = replace(options, "\\s", " ") + " ";
    while (lengthOf(rest) > 0) {
        if (startsWith(rest, " ")) {
            rest = substring(rest, 1);
            continue;
        }
        space = indexOf(rest, " ");
        equals = indexOf(rest, "=");
        if (equals < 0 || equals > space) {
            name = substring(rest, 0, space);
            value = "true";
            end = space;
        } else {
            name = substring(rest, 0, equals);
            rest = substring(rest, equals + 1);
            end = indexOf(rest, " ");
            value = substring(rest, 0, end);
            if (startsWith(rest, "[") && indexOf(rest, "]") > 0) {
                end = indexOf(rest, "]") + 1;
                value = substring(rest, 1, end - 1);
            }
        }
        if (matches(toLowerCase(name), key))
            return value;
        rest = substring(rest, end);
    }
    return "";
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
    given = "" + call("ij.Macro.getOptions"); // null alone would become the number 0
    if (fbSame(given, "null"))
        return "";
    return given;
}

// Whether ImageJ runs without windows.
function fbHeadless() {
    return matches(call("java.awt.GraphicsEnvironment.isHeadless"), "true");
}

// Whether a command asks by its dialog: not in a macro that gives options, nor in one without windows, where what is
// not given has its default.
function fbAsks(given) {
    text = "" + given;
    if (lengthOf(text) > 0)
        return false;
    if (fbHeadless())
        return false;
    if (is("Batch Mode"))
        return false;
    return true;
}

// What a command's dialog was last left with, as options: only values that are not the defaults.
function fbLast(operation) {
    return "" + call("ij.Prefs.get", "fijibridge." + operation, "");
}

// Remembers it, also where ImageJ is killed later.
function fbRemember(operation, options) {
    done = call("ij.Prefs.set", "fijibridge." + operation, options);
    done = call("ij.Prefs.savePreferences");
}

// A value of last time, or the default.
function fbLastValue(last, key, value) {
    found = "" + fbOption(last, key);
    if (lengthOf(found) > 0)
        return found;
    return value;
}

// A dialog's fields, with their value of last time.
function fbAddString(label, last, key, value, columns) {
    found = "" + fbLastValue(last, key, value);
    Dialog.addString(label, found, columns);
}

function fbAddChoice(label, last, key, choices, value) {
    found = "" + fbLastValue(last, key, value);
    for (i = 0; i < choices.length; i++)
        if (fbSame(choices[i], found))
            value = choices[i]; // a choice that is no more counts not
    Dialog.addChoice(label, choices, value);
}

function fbAddCheckbox(label, last, key, value) {
    found = "" + fbLastValue(last, key, value);
    Dialog.addCheckbox(label, matches(found, "true"));
}

// One for a file or folder, with a button to choose it.
function fbAddPath(label, last, key, value, isFolder) {
    found = "" + fbLastValue(last, key, value);
    if (isFolder)
        Dialog.addDirectory(label, found);
    else
        Dialog.addFile(label, found);
}

// What the labels of a dialog are at first.
function fbDefaultLabels() {
    if (isOpen("ROI Manager"))
        return "ROI Manager";
    return "";
}

// What the set-up of Python from an update site has recorded: "python", "folder" or "environment"; "" where it has not.
function fbRecorded(key) {
    text = "" + call("ij.IJ.openAsString", getDirectory("plugins") + "FijiBridge/fijibridge.json");
    mark = "\"" + key + "\": \"";
    start = indexOf(text, mark);
    if (startsWith(text, "Error") || start < 0)
        return "";
    text = substring(text, start + lengthOf(mark));
    return substring(text, 0, indexOf(text, "\""));
}

// The Python of an environment of an update site, which is set up if it is not there; else "error ...".
function fbSetUp(environment) {
    python = "" + fbRecorded("python");
    if (matches("" + fbRecorded("environment"), environment) && File.exists(python))
        return python;
    said = call("java.lang.System.setProperty", "fijibridge.set_up", "");
    run("FB Set Up Python", "called");
    said = "" + call("java.lang.System.getProperty", "fijibridge.set_up");
    if (!startsWith(said, "done"))
        return "error\n" + said;
    if (matches("" + fbRecorded("environment"), environment))
        return "" + fbRecorded("python");
    return "error\nthe files of the update site are of different versions\n  expected: all of one version\n  remedy: choose Help > Update... again, then restart Fiji";
}

// Whether two texts are the same letter by letter, which == does not tell.
function fbSame(a, b) {
    a = "" + a;
    b = "" + b;
    if (lengthOf(a) != lengthOf(b))
        return false;
    return startsWith(a, b);
}

// A checkbox's value as text.
function fbTruth(value) {
    if (value)
        return "true";
    return "false";
}

// Options, and one more unless it has its default. A field left empty has the default.
function fbChosen(options, key, value, byDefault) {
    value = "" + value;
    if (lengthOf(value) == 0 || fbSame(value, byDefault))
        return "" + options;
    if (matches(value, ".*\\s.*") || startsWith(value, "["))
        value = "[" + value + "]";
    return "" + options + key + "=" + value + " ";
}

// Whether the macro recorder waits for this command. From now on it does not: its own line would hold what differs from
// the values of last time, not from the defaults, and it takes "weights" for a second "upsampler_weights".
function fbRecorder(command) {
    recorded = "" + call("ij.plugin.frame.Recorder.getCommand");
    if (!fbSame(recorded, command))
        return false;
    done = call("ij.plugin.frame.Recorder.disableCommandRecording");
    return true;
}

// The command's line for the recorder, which then gets none for what the command does itself.
function fbRecord(command, options) {
    options = "" + call("ij.plugin.frame.Recorder.fixString", options);
    if (lengthOf(options) == 0)
        options = " "; // without options it would show the dialog
    line = "run(\"" + command + "\", \"" + options + "\");\n";
    if (matches(call("ij.plugin.frame.Recorder.scriptMode"), "true"))
        line = "IJ." + line;
    done = call("ij.plugin.frame.Recorder.recordString", line);
    done = call("ij.plugin.frame.Recorder.suspendRecording");
}

// A new request's id, with a folder of its own; "error ..." where the service does not start.
function fbBegin() {
    if (fbHosted() == 1) {
        run("fijibridge");
        return Ext.begin("");
    }
    python = "" + fbPython();
    if (startsWith(python, "error"))
        return python;
    if (python == "")
        return "error\nthis copy of FijiBridge.ijm was not installed\n  expected: the one that fijibridge install writes\n  remedy: run fijibridge install FOLDER, with the folder of this Fiji or ImageJ";
    if (!fbFresh()) {
        failed = fbStart();
        if (failed != "")
            return failed;
    }
    id = "fb-" + call("java.util.UUID.randomUUID");
    File.makeDirectory("" + fbFolder() + "exchange/" + id);
    key = call("java.util.UUID.randomUUID");
    proof = call("java.util.UUID.randomUUID");
    File.saveString(key + "\n" + proof + "\n", "" + fbFolder() + "exchange/" + id + "/key.txt");
    return id;
}

// Whether a service was there a moment ago: it dates its file every five seconds.
function fbFresh() {
    path = "" + fbFolder() + "service.txt";
    if (!File.exists(path))
        return false;
    age = getTime() - File.lastModified(path);
    if (age > -30000 && age < 30000)
        return true;
    return false;
}

// Starts the service, or finds the one that runs; "" or "error ...".
function fbStart() {
    if (!File.exists(fbPython()))
        return "error\nPython is not where it was when FijiBridge was installed: " + fbPython() + "\n  expected: a Python with fijibridge\n  remedy: run fijibridge install again, from the Python that has fijibridge now";
    showStatus("fijibridge: its service starts, which takes some seconds...");
    said = exec(fbPython(), "-c", fbStarter(), "serve", "--background", "--folder", fbFolder());
    if (indexOf(said, "ready") >= 0)
        return "";
    return "error\n" + said;
}

// The service's answer to a GET for a call; "<Error ...>" if there is none. Both sides show that they can read the call's
// private folder: the request bears the first line of its key.txt, the answer begins with the second. What does not is
// not from the service.
function fbGet(path, id) {
    info = call("ij.IJ.openAsString", "" + fbFolder() + "service.txt");
    lines = split("" + info + "\n \n \n", "\n"); // one line at least, since ImageJ looks at lines[0] in any case
    if (startsWith("" + info, "Error") || !matches(lines[0], "[0-9]{1,5}"))
        return "<Error: " + fbFolder() + "service.txt cannot be read>";
    keys = call("ij.IJ.openAsString", "" + fbFolder() + "exchange/" + id + "/key.txt");
    keys = split("" + keys + "\n \n \n", "\n");
    if (lengthOf(keys[0]) < 30 || lengthOf(keys[1]) < 30)
        return "<Error: the folder of the call is gone>";
    answer = File.openUrlAsString("http://127.0.0.1:" + lines[0] + "/" + path + "?key=" + keys[0]);
    if (startsWith(answer, "<Error"))
        return answer;
    if (!startsWith(answer, keys[1] + "\n"))
        return "<Error: another program answers on port " + lines[0] + ">";
    return substring(answer, lengthOf(keys[1]) + 1);
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

// JSON pairs with a comma between.
function fbJoined(pairs, pair) {
    if (lengthOf(pairs) == 0)
        return "" + pair;
    return "" + pairs + ", " + pair;
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

// Saves the active image by way of a duplicate: its title, its state and its selection stay as they are. A text beside
// it names the file that the image was opened from, whose tags say what ImageJ does not keep.
function fbExported(id) {
    name = replace(getTitle(), "\\.[A-Za-z]+$", "");
    name = replace(name, "[^A-Za-z0-9_.-]", "_");
    path = "" + fbFolder() + "exchange/" + id + "/" + name + ".tif";
    original = getImageID();
    source = "" + getInfo("image.directory") + getInfo("image.filename");
    if (File.exists(source) && !File.isDirectory(source))
        written = File.saveString(source, path + ".original");
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
    quiet = matches("" + fbOption(options, "on_error"), "return");
    show = fbOption(options, "show");
    show = !matches(show, "|false");
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
    ended = " done";
    for (i = 1; i < lines.length; i++) {
        if (startsWith(lines[i], "warnings=")) {
            print("FijiBridge: " + substring(lines[i], 9));
            ended = " done, with a note in the Log window";
        }
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
    showStatus("fijibridge: " + operation + ended);
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
    answer = fbGet("run/" + id, id);
    unread = File.exists("" + fbFolder() + "requests/" + id + ".json");
    if (startsWith(answer, "<Error") && unread) { // it ended since its last call
        failed = fbStart();
        if (failed != "")
            return failed;
        answer = fbGet("run/" + id, id);
    }
    n = 0;
    while (startsWith(answer, "running")) {
        state = split(answer, "\t");
        showProgress(parseFloat(state[1]));
        if (state.length > 2)
            showStatus("fijibridge: " + replace(state[2], "\n", ""));
        n++;
        wait(20);
        answer = fbGet("poll/" + id + "/" + n, id);
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
    answer = fbGet("release/" + id, id);
    if (startsWith(answer, "<Error")) { // no service any more
        files = getFileList(folder);
        for (i = 0; i < files.length; i++)
            deleted = File.delete(folder + files[i]);
        deleted = File.delete(folder);
    }
}

// --- generated from the catalogue of operations: fijibridge.frontends.imagej.macro_generator ---

// Train on sparse labels and segment an image.
//   image: micrograph: TIFF, PNG, ...
//   labels: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi); of a stack: a label image for each slice, or ROIs that say theirs
//   out: folder for the results; it appears when they are complete
//   options: engine, classes, preset, head, features, sigma, membrane, encoder, blocks, coarse_blocks, channels, enlargement, debiasing, upsampler, upsampler_weights, tile, network, detector, detectors, align, trees, max_features, max_depth, seed, databar, page, probabilities, uncertainty, ome_zarr, statistics, vit_every, smooth_z, suggest, importance, minimum_size, fill_holes, mode_filter, roi, slices, weights, threads, heap, workers, resume, overwrite
function fbSegment(image, labels, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("labels", fbLabels(labels, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("segment", id, arguments, options);
}

// Train a classifier on several labelled images, on data that TWS saved, or on both.
//   images: labelled micrographs or stacks
//   labels: label image or ImageJ ROIs (.zip, .roi) of each image in order, or a folder with files named as the images; of a stack on any of its slices
//   out: folder for the results; it appears when they are complete
//   options: data, feature_file, engine, classes, preset, head, features, sigma, membrane, encoder, blocks, coarse_blocks, channels, enlargement, debiasing, upsampler, upsampler_weights, tile, network, detector, detectors, align, trees, max_features, max_depth, balance, seed, databar, page, save_data, importance, weights, threads, heap, overwrite
function fbTrain(images, labels, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("labels", fbLabels(labels, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("train", id, arguments, options);
}

// Segment images and stacks with a saved classifier.
//   classifier: folder of a saved classifier, or a TWS .model
//   images: micrographs or stacks
//   out: folder for the results; it appears when they are complete
//   options: detectors, align, databar, page, grey_range, dimensions, probabilities, probability_type, uncertainty, ome_zarr, statistics, vit_every, smooth_z, minimum_size, fill_holes, mode_filter, roi, slices, weights, threads, heap, workers, dask, part, merge_parts, resume, overwrite
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
//   options: feature_file, preset, features, sigma, membrane, encoder, blocks, coarse_blocks, channels, enlargement, debiasing, upsampler, upsampler_weights, tile, network, detector, detectors, align, databar, page, slices, weights, threads, overwrite
function fbFeatures(image, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("features", id, arguments, options);
}

// Measure the positional bias of a ViT's features on images, and how well each debiasing method removes it.
//   images: micrographs: TIFF, PNG, ...
//   out: folder for the results; it appears when they are complete
//   options: preset, candidates, encoder, databar, weights, threads, overwrite
function fbBias(images, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("bias", id, arguments, options);
}

// Import a classifier that TWS trained on features of fijibridge, for apply.
//   tws_model: a .model that TWS saved
//   feature_file: features.json that features wrote, or a saved classifier: features are made as it says
//   out: folder for the results; it appears when they are complete
//   options: overwrite
function fbImportClassifier(tws_model, feature_file, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("tws_model", tws_model) + ", "
        + fbPair("feature_file", feature_file) + ", "
        + fbPair("out", out);
    return "" + fbCall("import_classifier", id, arguments, options);
}

// Rewrite a macro that calls TWS so that it calls fijibridge.
//   macro_file: a macro of ImageJ (.ijm) that calls TWS
//   out: the macro that calls fijibridge, NEW.ijm; or a folder for it and its report
//   options: overwrite
function fbConvertMacro(macro_file, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("macro_file", macro_file) + ", "
        + fbPair("out", out);
    return "" + fbCall("convert_macro", id, arguments, options);
}

// Measure a segmented image or volume.
//   image: label image or volume (stack): one value a phase
//   out: folder for the results; it appears when they are complete
//   options: classes, background, voxel_size, metrics, axes, conductivities, confidence, surface, export, export_phases, bpx_template, bpx_phases, bpx_electrode, bpx_axis, bpx_whole, memory, threads, overwrite
function fbMeasure(image, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("image", fbImage(image, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("measure", id, arguments, options);
}

// Make a 3D volume from one segmented 2D micrograph, or from two or three of different planes.
//   images: segmented micrograph, or two of the planes xy and xz, or three of xy, xz and yz
//   out: the volume, NAME.tif, with its report in NAME_report; or a folder for both
//   options: volume_size, classes, pixel_size, classifier, otsu, loss, steps, slices_per_step, periodic, separate, fraction_weight, correlation_weight, interface_weight, chord_weight, shape_weight, chunk, seed, device, vgg_weights, threads, resume, overwrite
function fbReconstruct(images, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("reconstruct", id, arguments, options);
}

// Generate a large 3D volume like a segmented 2D slice, in minutes.
//   like: segmented slice, or the parameters.json of an earlier run
//   out: the volume, NAME.tif, with its report in NAME_report; or a folder for both
//   options: volume_size, classes, pixel_size, classifier, otsu, set_fractions, scale_lengths, stretch, periodic, seed, threads, overwrite
function fbGenerate(like, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("like", fbImage(like, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("generate", id, arguments, options);
}

// Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.
//   coarse: coarse volume: labels, probabilities of a phase, or a grey CT
//   out: the volume, NAME.tif, with its report in NAME_report; or a folder for both
//   options: micrographs, visible, factor, method, train, out_model, model, training_steps, classes, coarse_classes, coarse_as, trust, psf, samples, probabilities, pixel_size, voxel_size, classifier, otsu, loss, steps, slices_per_step, separate, agreement_weight, fraction_weight, correlation_weight, interface_weight, chord_weight, shape_weight, chunk, seed, device, vgg_weights, threads, resume, overwrite
function fbSuperresolve(coarse, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("coarse", fbImage(coarse, id)) + ", "
        + fbPair("out", out);
    return "" + fbCall("superresolve", id, arguments, options);
}

// Simulate SE + BSE micrographs of composite electrodes, with labels.
//   out: folder of the data set; what is written stays when stopped
//   options: material, config, count, size, preview, seed, workers, dask, resume, overwrite
function fbSimulate(out, options) {
    id = fbBegin();
    arguments = "" + fbPair("out", out);
    return "" + fbCall("simulate", id, arguments, options);
}

// Measure how diverse simulated micrographs are, compared with real ones.
//   dataset: folder of a data set, as simulate writes it
//   out: folder for the results; it appears when they are complete
//   options: real, detector, max_images, encoder, databar, weights, overwrite
function fbDiversity(dataset, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("dataset", dataset) + ", "
        + fbPair("out", out);
    return "" + fbCall("diversity", id, arguments, options);
}

// Train a network that segments SE and BSE images into phases.
//   dataset: folder of a data set, as simulate writes it
//   out: folder of the network; written at each check
//   options: target_classes, merge, minutes, clock, steps, unet_encoder, pretrained, width, unet_slices, crop, batch, rate, onnx, seed, device, threads, resume, overwrite
function fbTrainNetwork(dataset, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("dataset", dataset) + ", "
        + fbPair("out", out);
    return "" + fbCall("train_network", id, arguments, options);
}

// Segment SE and BSE images with a trained network.
//   network: folder of a trained network
//   out: folder for the results; it appears when they are complete
//   options: se, bse, align, flips, uncertainty, probabilities, minimum_size, fill_holes, mode_filter, rescale, databar, page, device, threads, overwrite
function fbSegmentNetwork(network, out, options) {
    id = fbBegin();
    arguments = "" + fbPair("network", network) + ", "
        + fbPair("out", out);
    return "" + fbCall("segment_network", id, arguments, options);
}

// Fine-tune a segmenting network on sparse labels of a real image.
//   network: folder of a trained network
//   labels: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi); of a stack: a label image for each slice, or ROIs that say theirs
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
//   options: engine, features, encoder, size, seed, weights, threads, overwrite
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
