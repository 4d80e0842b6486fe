
// --- what macros call of Trainable Weka Segmentation, without its window ---
//
// fijibridge convert-macro OLD.ijm --out NEW.ijm writes fbWekaNAME(...) for
// call("trainableSegmentation.Weka_Segmentation.NAME", ...). Arguments, order and results are those of TWS, where a
// comment does not say otherwise; texts and numbers are taken alike. What a window of TWS keeps from call to call
// (traces, classes, settings, the classifier) is kept until ImageJ ends or fbWekaOpen() begins anew.

function fbWekaGet(key) {
    return "" + call("java.lang.System.getProperty", "fijibridge.weka." + key, "");
}

function fbWekaSet(key, value) {
    done = call("java.lang.System.setProperty", "fijibridge.weka." + key, "" + value);
    return "";
}

// In place of run("Trainable Weka Segmentation"): the active image is the one to train on.
function fbWekaOpen() {
    if (nImages == 0)
        fbWekaFail("no image is open", "the image to train on", "open it before Trainable Weka Segmentation");
    folder = "" + getDirectory("temp") + "fijibridge-weka-" + call("java.util.UUID.randomUUID") + "/";
    File.makeDirectory(folder);
    fbWekaSet("folder", folder);
    fbWekaSet("image", getImageID());
    fbWekaSet("names", "class 1\nclass 2\n");
    fbWekaSet("traces", "");
    fbWekaSet("data", "");
    fbWekaSet("classifier", "");
    fbWekaSet("balance", "false");
    fbWekaSet("forest", "trees=200 max_features=2");
    fbWekaSet("options", "");
    fbWekaSet("filters", "Gaussian_blur\nSobel_filter\nHessian\nDifference_of_gaussians\nMembrane_projections\n");
    fbWekaSet("min_sigma", "1.0");
    fbWekaSet("max_sigma", "16.0");
    fbWekaSet("membrane_patch", 19);
    fbWekaSet("membrane_thickness", 1);
    fbWekaSet("number", 0);
    return "";
}

// Not of TWS: other options for the training, such as "preset=default" for features of a ViT.
function fbWekaOptions(options) {
    return "" + fbWekaSet("options", options);
}

function fbWekaFail(found, expected, remedy) {
    exit("" + found + "\n  expected: " + expected + "\n  remedy: " + remedy);
}

// The image to train on becomes the active one.
function fbWekaSelect() {
    id = "" + fbWekaGet("image");
    if (lengthOf(id) == 0)
        fbWekaFail("no image was given to train on", "fbWekaOpen() before", "call it when the image is the active one");
    selectImage(parseInt(id));
    return "";
}

// A new place in the folder of this session.
function fbWekaPlace(name) {
    number = parseInt("" + fbWekaGet("number")) + 1;
    fbWekaSet("number", number);
    return "" + fbWekaGet("folder") + name + number;
}

function fbWekaAddTrace(classNum, nSlice) {
    names = split("" + fbWekaGet("names"), "\n");
    if (parseInt(classNum) >= names.length)
        fbWekaFail("addTrace to class " + classNum, "0 to " + (names.length - 1), "create the class first");
    if (selectionType() == -1)
        fbWekaFail("addTrace without a selection", "a selection on the image to train on", "draw it before");
    file = "" + fbWekaPlace("trace") + ".roi";
    saveAs("Selection", file);
    run("Select None");
    fbWekaSet("traces", "" + fbWekaGet("traces") + classNum + "\t" + nSlice + "\t" + file + "\n");
    return "";
}

function fbWekaDeleteTrace(classNum, nSlice, index) {
    traces = split("" + fbWekaGet("traces"), "\n");
    kept = "";
    place = 0;
    for (i = 0; i < traces.length; i++) {
        same = startsWith(traces[i], "" + classNum + "\t" + nSlice + "\t");
        if (!same || place != parseInt(index))
            kept = kept + traces[i] + "\n";
        if (same)
            place++;
    }
    fbWekaSet("traces", kept);
    return "";
}

function fbWekaCreateNewClass(inputName) {
    name = replace("" + inputName, "^\\s*(?:[aA][dD][dD] [tT][oO] )?", "");
    name = replace(name, "\\s+$", "");
    if (lengthOf(name) == 0)
        fbWekaFail("createNewClass without a name", "the name of a class", "give one");
    fbWekaSet("names", "" + fbWekaGet("names") + name + "\n");
    return "";
}

function fbWekaChangeClassName(classIndex, className) {
    names = split("" + fbWekaGet("names"), "\n");
    kept = "";
    for (i = 0; i < names.length; i++) {
        if (i == parseInt(classIndex))
            names[i] = "" + className;
        kept = kept + names[i] + "\n";
    }
    fbWekaSet("names", kept);
    return "";
}

function fbWekaChangeClassColor(classNum, color) {
    return "" + fbWekaSet("color" + classNum, color);
}

// As TWS, of which only the classes with traces are trained; with loaded data all are.
function fbWekaUsed() {
    names = split("" + fbWekaGet("names"), "\n");
    traces = "\n" + fbWekaGet("traces");
    data = "" + fbWekaGet("data");
    used = "";
    for (i = 0; i < names.length; i++)
        if (lengthOf(data) > 0 || indexOf(traces, "\n" + i + "\t") >= 0)
            used = used + i + "\n";
    return used;
}

function fbWekaClasses() {
    names = split("" + fbWekaGet("names"), "\n");
    used = split("" + fbWekaUsed(), "\n");
    found = "";
    for (i = 0; i < used.length; i++) {
        if (i > 0)
            found = found + ",";
        found = found + names[parseInt(used[i])];
    }
    return found;
}

// The traces as the overlay of an empty image, each with its slice and its class as group: the path of its file.
function fbWekaTraces(id) {
    fbWekaSelect();
    quiet = is("Batch Mode") || fbHeadless(); // else the image would flash up
    if (!quiet)
        setBatchMode(true);
    getDimensions(width, height, channels, slices, frames);
    newImage("fbWeka_traces", "8-bit black", width, height, slices * frames);
    used = split("" + fbWekaUsed(), "\n");
    traces = split("" + fbWekaGet("traces"), "\n");
    for (i = 0; i < traces.length; i++) {
        parts = split(traces[i], "\t");
        open(parts[2]);
        for (k = 0; k < used.length; k++)
            if (parseInt(used[k]) == parseInt(parts[0]))
                Roi.setGroup(k + 1);
        Roi.setPosition(parseInt(parts[1]));
        Overlay.addSelection;
    }
    run("Select None");
    path = "" + fbExported(id);
    close();
    fbWekaSelect();
    if (!quiet)
        setBatchMode(false);
    return path;
}

function fbWekaTrained(out, more) {
    traces = "" + fbWekaGet("traces");
    data = "" + fbWekaGet("data");
    if (lengthOf(traces) + lengthOf(data) == 0)
        fbWekaFail("nothing to train on", "traces of two classes, or data", "call addTrace or loadData before");
    id = fbBegin();
    arguments = "" + fbPair("out", out);
    if (lengthOf(traces) > 0) {
        fbWekaSelect();
        arguments = arguments + ", " + fbPair("images", fbImage("", id)) + ", " + fbPair("labels", fbWekaTraces(id));
    }
    if (lengthOf(data) > 0)
        arguments = arguments + ", " + fbPair("data", data);
    arguments = arguments + ", " + fbPair("classes", fbWekaClasses());
    options = "" + fbWekaMeans() + " balance=" + fbWekaGet("balance") + " " + fbWekaGet("forest") + " " + more;
    return "" + fbCall("train", id, arguments, options);
}

function fbWekaTrainClassifier() {
    out = "" + fbWekaPlace("classifier");
    result = "" + fbWekaTrained(out, "");
    fbWekaSet("classifier", out);
    fbWekaSet("oob_accuracy", fbValue(result, "oob_accuracy"));
    return "";
}

// The classifier on an image: with what ends the names of its files, labels.tif or probabilities.tif.
function fbWekaApplied(images, ending) {
    classifier = "" + fbWekaGet("classifier");
    if (lengthOf(classifier) == 0)
        fbWekaFail("no classifier", "one that was trained or loaded", "call trainClassifier or loadClassifier before");
    out = "" + fbWekaPlace("result");
    id = fbBegin();
    arguments = "" + fbPair("classifier", classifier) + ", " + fbPair("images", fbImage(images, id)) + ", "
        + fbPair("out", out);
    result = fbCall("apply", id, arguments, "");
    outputs = split("" + fbValue(result, "outputs"), ",");
    for (i = 0; i < outputs.length; i++)
        if (endsWith(outputs[i], ending))
            return "" + out + "/" + outputs[i];
    return "";
}

// Opens a result as TWS shows it: labels from 0 with the colours of the classes, or probabilities.
function fbWekaShown(path, probabilities) {
    open(path);
    if (probabilities) {
        rename("Probability maps");
        return "";
    }
    run("Subtract...", "value=1 stack");
    getLut(reds, greens, blues);
    for (i = 0; i < 255; i++) {
        reds[i] = reds[i + 1];
        greens[i] = greens[i + 1];
        blues[i] = blues[i + 1];
        color = "" + fbWekaGet("color" + i);
        if (lengthOf(color) >= 6) {
            color = substring(color, lengthOf(color) - 6);
            reds[i] = parseInt(substring(color, 0, 2), 16);
            greens[i] = parseInt(substring(color, 2, 4), 16);
            blues[i] = parseInt(substring(color, 4, 6), 16);
        }
    }
    setLut(reds, greens, blues);
    rename("Classified image");
    return "";
}

function fbWekaGetResult() {
    fbWekaSelect();
    path = "" + fbWekaApplied("", "_labels.tif");
    return "" + fbWekaShown(path, false);
}

function fbWekaGetProbability() {
    fbWekaSelect();
    path = "" + fbWekaApplied("", "_probabilities.tif");
    return "" + fbWekaShown(path, true);
}

function fbWekaApplyClassifier(dir, fileName, showResultsFlag, storeResultsFlag, probabilityMapsFlag, storeDir) {
    probabilities = indexOf("" + probabilityMapsFlag, "true") >= 0;
    ending = "_labels.tif";
    if (probabilities)
        ending = "_probabilities.tif";
    source = "" + dir + "/" + fileName;
    if (!File.exists(source))
        fbWekaFail("no image " + source, "the image to segment", "check folder and name");
    path = "" + fbWekaApplied(source, ending);
    fbWekaShown(path, probabilities);
    if (indexOf("" + storeResultsFlag, "true") >= 0) {
        saveAs("Tiff", "" + storeDir + "/" + fileName);
        close();
    } else if (indexOf("" + showResultsFlag, "true") < 0)
        close();
    return "";
}

function fbWekaLoadClassifier(newClassifierPathName) {
    if (!File.exists(newClassifierPathName))
        fbWekaFail("no classifier " + newClassifierPathName, "a .model, or a folder of fijibridge", "check the path");
    return "" + fbWekaSet("classifier", newClassifierPathName);
}

// The .model, which TWS loads; beside it, with the ending .fijibridge, the folder that fijibridge apply takes.
function fbWekaSaveClassifier(classifierPathName) {
    classifier = "" + fbWekaGet("classifier");
    folder = classifier + "/classifier/";
    if (!File.exists(folder))
        folder = classifier + "/";
    model = folder + "classifier.model";
    if (endsWith(classifier, ".model"))
        model = classifier;
    if (!File.exists(model))
        fbWekaFail("no classifier to save", "one that was trained", "call trainClassifier before");
    done = File.copy(model, classifierPathName);
    if (endsWith(classifier, ".model"))
        return "";
    beside = "" + classifierPathName + ".fijibridge/";
    File.makeDirectory(beside);
    files = getFileList(folder);
    for (i = 0; i < files.length; i++)
        if (!endsWith(files[i], "/"))
            done = File.copy(folder + files[i], beside + files[i]);
    return "";
}

function fbWekaLoadData(arffFilePathName) {
    if (!File.exists(arffFilePathName))
        fbWekaFail("no data " + arffFilePathName, "an .arff file", "check the path");
    return "" + fbWekaSet("data", arffFilePathName);
}

function fbWekaSaveData(arffFilePathName) {
    out = "" + fbWekaPlace("data");
    forest = "" + fbWekaGet("forest");
    fbWekaSet("forest", "trees=1"); // the samples are wanted, and not the forest
    result = fbWekaTrained(out, "save_data on_error=return");
    fbWekaSet("forest", forest);
    if (fbFailed(result))
        exit(replace(result, "^error\\s*", ""));
    done = File.copy(out + "/data.arff", arffFilePathName);
    return "";
}

// TWS's filters by name, such as Median=true.
function fbWekaSetFeature(feature) {
    name = replace("" + feature, "=.*", "");
    filters = replace("" + fbWekaGet("filters"), name + "\n", "");
    if (indexOf("" + feature, "true") >= 0)
        filters = filters + name + "\n";
    return "" + fbWekaSet("filters", filters);
}

function fbWekaSetMembraneThickness(newThicknessStr) {
    return "" + fbWekaSet("membrane_thickness", newThicknessStr);
}

function fbWekaSetMembranePatchSize(newPatchSizeStr) {
    return "" + fbWekaSet("membrane_patch", newPatchSizeStr);
}

function fbWekaSetMinimumSigma(newMinSigmaStr) {
    return "" + fbWekaSet("min_sigma", newMinSigmaStr);
}

function fbWekaSetMaximumSigma(newMaxSigmaStr) {
    return "" + fbWekaSet("max_sigma", newMaxSigmaStr);
}

// TWS's filters that are chosen, as options.
function fbWekaFilters() {
    filters = replace("" + fbWekaGet("filters"), "\n", ",");
    if (lengthOf(filters) == 0)
        fbWekaFail("no feature is chosen", "one at least", "setFeature, such as Gaussian_blur=true");
    return "features=" + filters + " sigma=" + fbWekaGet("min_sigma") + ":" + fbWekaGet("max_sigma") + " membrane="
        + fbWekaGet("membrane_patch") + ":" + fbWekaGet("membrane_thickness");
}

// The options of the training that say who trains, on which features; data say themselves how theirs are made.
function fbWekaMeans() {
    given = "" + fbWekaGet("options");
    of_data = lengthOf("" + fbWekaGet("data")) > 0;
    if (lengthOf(given) == 0 && of_data)
        return "engine=weka";
    if (of_data)
        return replace(given, "(?:^|(?<= ))(features|preset|sigma|membrane)=\\S+", "");
    if (lengthOf(given) > 0)
        return given;
    return "" + fbWekaFilters() + " engine=weka";
}

function fbWekaSetClassBalance(flagStr) {
    return "" + fbWekaSet("balance", flagStr);
}

function fbWekaSetClassHomogenization(flagStr) {
    return "" + fbWekaSet("balance", flagStr);
}

// Of the forest that TWS has by default: -I trees, -K features tried, -S seed, -depth.
function fbWekaSetClassifier(classifierName, options) {
    if (!endsWith("" + classifierName, "FastRandomForest"))
        fbWekaFail("the classifier " + classifierName, "hr.irb.fastRandomForest.FastRandomForest",
            "train another one in TWS's own window");
    words = split("" + options, " ");
    forest = "";
    for (i = 0; i + 1 < words.length; i = i + 2) {
        value = words[i + 1];
        if (matches(words[i], "-I"))
            forest = forest + "trees=" + value + " ";
        else if (matches(words[i], "-K") && parseInt(value) < 1)
            forest = forest + "max_features=7 "; // log2 of 76 features, and one more
        else if (matches(words[i], "-K"))
            forest = forest + "max_features=" + value + " ";
        else if (matches(words[i], "-S"))
            forest = forest + "seed=" + replace(value, "-", "") + " ";
        else if (matches(words[i], "-depth"))
            forest = forest + "max_depth=" + value + " ";
    }
    return "" + fbWekaSet("forest", forest);
}

function fbWekaSaveFeatureStack(dir, fileWithExt) {
    fbWekaSelect();
    out = "" + fbWekaPlace("features");
    result = "" + fbFeatures("", out, fbWekaFilters());
    files = getFileList(out);
    number = 0;
    for (i = 0; i < files.length; i++)
        if (endsWith(files[i], ".tif")) {
            number++;
            name = "" + dir + substring(fileWithExt, 0, lengthOf(fileWithExt) - 4) + IJ.pad(number, 4) + ".tif";
            done = File.copy(out + "/" + files[i], name);
        }
    return "";
}

// TWS draws threshold curves; here the accuracy at the traces is printed.
function fbWekaPlotResultGraphs() {
    print("out-of-bag accuracy: " + fbWekaGet("oob_accuracy"));
    return "";
}

// These change TWS's window alone: nothing to do without it.
function fbWekaToggleOverlay() {
    return "";
}

function fbWekaSetOpacity(newOpacity) {
    return "";
}

function fbWekaLaunchWeka() {
    print("FijiBridge: launchWeka needs TWS's own window and is left out");
    return "";
}
