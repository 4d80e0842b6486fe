// include FijiBridge.ijm
// Segments every image of a folder with a saved classifier. Each gets a folder of its own in the output folder; an image
// that cannot be segmented is reported and skipped; summary.csv has a row an image.
//
// With a window: run it, a dialog asks. In a macro or headless, with the same words as options:
//     runMacro("FijiBridge/Batch_Segment.ijm", "input=/images classifier=/phases/classifier output=/results");
//     fijibridge macro Batch_Segment.ijm "input=/images classifier=/phases/classifier output=[/my results] overwrite"

options = getArgument();
if (options == "") {
    Dialog.create("Batch Segment");
    fbAddPath("Input", "", true);
    fbAddPath("Classifier", "", true);
    fbAddPath("Output", "", true);
    Dialog.addCheckbox("Overwrite", false);
    Dialog.show();
    input = Dialog.getString();
    classifier = Dialog.getString();
    output = Dialog.getString();
    overwrite = Dialog.getCheckbox();
} else {
    input = fbOption(options, "input");
    classifier = fbOption(options, "classifier");
    output = fbOption(options, "output");
    flag = fbOption(options, "overwrite");
    overwrite = matches(flag, "true");
}
if (!File.isDirectory(input))
    exit("no folder of images: " + input);
if (!File.exists(classifier))
    exit("no classifier: " + classifier);
if (output == "")
    exit("no output folder given");
if (!endsWith(input, "/"))
    input = input + "/";
if (!endsWith(output, "/"))
    output = output + "/";
if (!File.exists(output))
    File.makeDirectory(output);
if (!File.isDirectory(output))
    exit("the output folder cannot be made: " + output);

more = "on_error=return";
if (overwrite)
    more = more + " overwrite";
names = getFileList(input);
summary = "";
columns = "image,state,seconds";
done = 0;
skipped = 0;
for (k = 0; k < names.length; k++) {
    name = names[k];
    if (!matches(toLowerCase(name), "(?s).*\\.(tif|tiff|png|jpg|jpeg|bmp)"))
        continue;
    if (matches(name, "(?s).*[\\x00-\\x1f\\x7f].*")) {
        skipped++;
        print("skipped a file with a line break or control character in its name");
        continue;
    }
    began = getTime();
    result = fbApply(classifier, input + name, output + replace(name, "\\.[^.]*$", ""), more);
    seconds = d2s((getTime() - began) / 1000, 1);
    if (fbFailed(result)) {
        skipped++;
        lines = split(result, "\n");
        print("skipped " + name + ": " + lines[1]);
        summary = summary + "\"" + replace(name, "\"", "\"\"") + "\",\"" + replace(lines[1], "\"", "'") + "\"," + seconds + "\n";
        continue;
    }
    done++;
    row = "\"" + replace(name, "\"", "\"\"") + "\",done," + seconds;
    classes = split(fbValue(result, "class_names"), ",");
    header = "image,state,seconds";
    for (c = 0; c < classes.length; c++) {
        header = header + "," + classes[c];
        row = row + "," + fbValue(result, "files.1.class_fractions." + classes[c]);
    }
    columns = header;
    summary = summary + row + "\n";
    print("done " + name);
}
File.saveString(columns + "\n" + summary, output + "summary.csv");
if (!fbHeadless() && done + skipped > 0)
    open(output + "summary.csv");
answer = "" + done + " segmented, " + skipped + " skipped";
if (options == "")
    print(answer);
return answer;
