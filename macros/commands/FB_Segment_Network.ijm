// include FijiBridge.ijm
// Segment SE and BSE images with a trained network. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Segment Network");
    do {
        last = fbLast("segment_network");
        Dialog.create("FB Segment Network");
        fbAddPath("Network", last, "network", "", true);
        fbAddPath("Se", last, "se", "", false);
        fbAddPath("Out", last, "out", "", true);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Segment Network</h3>Segment SE and BSE images with a trained network.<br><br><b>network</b>: folder of a trained network<br><b>se</b>: secondary electron image, or a stack<br><b>out</b>: folder for the results; it appears when they are complete<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_network = Dialog.getString();
        v_se = Dialog.getString();
        v_out = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Segment Network: more options");
            fbAddCheckbox("Align", last, "align", "true");
            Dialog.addToSameRow();
            fbAddCheckbox("Flips", last, "flips", "false");
            fbAddCheckbox("Uncertainty", last, "uncertainty", "true");
            Dialog.addToSameRow();
            fbAddCheckbox("Probabilities", last, "probabilities", "true");
            fbAddString("Minimum_size (px)", last, "minimum_size", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Fill_holes (px)", last, "fill_holes", "0", 7);
            fbAddString("Mode_filter (px)", last, "mode_filter", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Rescale", last, "rescale", "false");
            fbAddString("Page", last, "page", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Device", last, "device", "auto", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Segment Network</h3>Segment SE and BSE images with a trained network.<br><br><b>align</b>: move the images of further detectors onto the first where they are displaced<br><b>flips</b>: average over the image and its mirror images: slightly better, at 4 times the cost<br><b>uncertainty</b>: write the entropy of the probabilities, 0 (sure) to 1, too, and how unlike all labels pixels are, where the classifier knows: where to label next<br><b>probabilities</b>: write the class probabilities, too<br><b>minimum size</b>: connected regions of one class with fewer pixels get the class of what surrounds them; 0: all stay (0 to 1000000000 px)<br><b>fill holes</b>: holes of so many pixels at most are given the one class that encloses them; 0: none (0 to 1000000000 px)<br><b>mode filter</b>: radius of a disc: each pixel gets the class that is most frequent in it; 0: off (0 to 100 px)<br><b>rescale</b>: bring the image to the pixel size of the training, and the result back<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>page</b>: page of a file whose pages are no stack, such as a preview and the raw data, from 1; 0: chosen by itself, as the report's notes tell (at least 0)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_align = Dialog.getCheckbox();
            v_flips = Dialog.getCheckbox();
            v_uncertainty = Dialog.getCheckbox();
            v_probabilities = Dialog.getCheckbox();
            v_minimum_size = Dialog.getString();
            v_fill_holes = Dialog.getString();
            v_mode_filter = Dialog.getString();
            v_rescale = Dialog.getCheckbox();
            v_page = Dialog.getString();
            v_databar = Dialog.getString();
            v_threads = Dialog.getString();
            v_device = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("segment_network", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "network", v_network, "");
    chosen = fbChosen(chosen, "se", v_se, "");
    once = fbChosen(once, "out", v_out, "");
    if (v_more) {
        chosen = fbChosen(chosen, "align", fbTruth(v_align), "true");
        chosen = fbChosen(chosen, "flips", fbTruth(v_flips), "false");
        chosen = fbChosen(chosen, "uncertainty", fbTruth(v_uncertainty), "true");
        chosen = fbChosen(chosen, "probabilities", fbTruth(v_probabilities), "true");
        chosen = fbChosen(chosen, "minimum_size", v_minimum_size, "0");
        chosen = fbChosen(chosen, "fill_holes", v_fill_holes, "0");
        chosen = fbChosen(chosen, "mode_filter", v_mode_filter, "0");
        chosen = fbChosen(chosen, "rescale", fbTruth(v_rescale), "false");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        once = fbChosen(once, "page", v_page, "0");
        chosen = fbChosen(chosen, "device", v_device, "auto");
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
    fbRemember("segment_network", kept);
    if (records)
        fbRecord("FB Segment Network", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("bse", fbImage(fbOption(given, "bse"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("network", v_network));
    arguments = fbJoined(arguments, fbPair("se", v_se));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("align", v_align));
        arguments = fbJoined(arguments, fbPair("flips", v_flips));
        arguments = fbJoined(arguments, fbPair("uncertainty", v_uncertainty));
        arguments = fbJoined(arguments, fbPair("probabilities", v_probabilities));
        arguments = fbJoined(arguments, fbPair("minimum_size", v_minimum_size));
        arguments = fbJoined(arguments, fbPair("fill_holes", v_fill_holes));
        arguments = fbJoined(arguments, fbPair("mode_filter", v_mode_filter));
        arguments = fbJoined(arguments, fbPair("rescale", v_rescale));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("page", v_page));
        arguments = fbJoined(arguments, fbPair("device", v_device));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("segment_network", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
