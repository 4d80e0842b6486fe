// include FijiBridge.ijm
// Generate a large 3D volume like a segmented 2D slice, in minutes. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Generate 3D");
    do {
        last = fbLast("generate");
        Dialog.create("FB Generate 3D");
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Volume_size", last, "volume_size", "256", 16);
        fbAddString("Classes", last, "classes", "", 16);
        fbAddString("Pixel_size", last, "pixel_size", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Generate 3D</h3>Generate a large 3D volume like a segmented 2D slice, in minutes.<br><br><b>out</b>: the volume, NAME.tif, with its report in NAME_report; or a folder for both<br><b>volume size</b>: voxels along all axes, or z,y,x<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><b>pixel size</b>: size of a micrograph's pixel, y,x and its unit, such as 10,10 nm; default: from the file, else 1 px<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_out = Dialog.getString();
        v_volume_size = Dialog.getString();
        v_classes = Dialog.getString();
        v_pixel_size = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Generate 3D: more options");
            fbAddPath("Classifier", last, "classifier", "", true);
            fbAddString("Otsu", last, "otsu", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Set_fractions", last, "set_fractions", "", 16);
            fbAddString("Scale_lengths", last, "scale_lengths", "1", 7);
            Dialog.addToSameRow();
            fbAddString("Stretch", last, "stretch", "1,1,1", 16);
            fbAddCheckbox("Periodic", last, "periodic", "false");
            Dialog.addToSameRow();
            fbAddString("Seed", last, "seed", "0", 7);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Generate 3D</h3>Generate a large 3D volume like a segmented 2D slice, in minutes.<br><br><b>classifier</b>: for grey micrographs: folder of the saved classifier that segments them<br><b>otsu</b>: for grey micrographs: number of phases to separate by multi-Otsu thresholds; 0: none (0 to 8)<br><b>set fractions</b>: fractions other than the slice's, such as pore=0.3,binder=0.05; phases not named share the rest as before<br><b>scale lengths</b>: factor of all lengths: 1.5 makes particles half as large again (0.1 to 10)<br><b>stretch</b>: factors of the lengths along z, y and x, such as 0.7,1,1: flatter along z<br><b>periodic</b>: make a volume that is periodic along all axes<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_classifier = Dialog.getString();
            v_otsu = Dialog.getString();
            v_set_fractions = Dialog.getString();
            v_scale_lengths = Dialog.getString();
            v_stretch = Dialog.getString();
            v_periodic = Dialog.getCheckbox();
            v_seed = Dialog.getString();
            v_threads = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("generate", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "volume_size", v_volume_size, "256");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    chosen = fbChosen(chosen, "pixel_size", v_pixel_size, "");
    if (v_more) {
        chosen = fbChosen(chosen, "classifier", v_classifier, "");
        chosen = fbChosen(chosen, "otsu", v_otsu, "0");
        chosen = fbChosen(chosen, "set_fractions", v_set_fractions, "");
        chosen = fbChosen(chosen, "scale_lengths", v_scale_lengths, "1");
        chosen = fbChosen(chosen, "stretch", v_stretch, "1,1,1");
        chosen = fbChosen(chosen, "periodic", fbTruth(v_periodic), "false");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "threads", v_threads, "0");
        once = fbChosen(once, "overwrite", fbTruth(v_overwrite), "false");
    }
    kept = chosen;
    shown = "";
    if (v_show)
        shown = "show";
    else
        kept = kept + "show=false ";
    if (v_more)
        kept = kept + "more_options";
    fbRemember("generate", kept);
    if (records)
        fbRecord("FB Generate 3D", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("like", fbImage(fbOption(given, "like"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("volume_size", v_volume_size));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    arguments = fbJoined(arguments, fbPair("pixel_size", v_pixel_size));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("classifier", v_classifier));
        arguments = fbJoined(arguments, fbPair("otsu", v_otsu));
        arguments = fbJoined(arguments, fbPair("set_fractions", v_set_fractions));
        arguments = fbJoined(arguments, fbPair("scale_lengths", v_scale_lengths));
        arguments = fbJoined(arguments, fbPair("stretch", v_stretch));
        arguments = fbJoined(arguments, fbPair("periodic", v_periodic));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("generate", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
