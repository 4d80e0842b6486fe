// include FijiBridge.ijm
// Segment images and stacks with a saved classifier. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Apply");
    do {
        last = fbLast("apply");
        Dialog.create("FB Apply");
        fbAddPath("Classifier", last, "classifier", "", true);
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Detectors", last, "detectors", "", 16);
        fbAddString("Slices", last, "slices", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Apply</h3>Segment images and stacks with a saved classifier.<br><br><b>classifier</b>: folder of a saved classifier, or a TWS .model<br><b>out</b>: folder for the results; it appears when they are complete<br><b>detectors</b>: further detectors' images of the same field, NAME=FILE with commas between, such as SE=SE.tif, EDX-S=S.tif; a folder stands for the file in it that is named as the image<br><b>slices</b>: slices of a stack, such as 1-3,7; default: all<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_classifier = Dialog.getString();
        v_out = Dialog.getString();
        v_detectors = Dialog.getString();
        v_slices = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Apply: more options");
            fbAddCheckbox("Align", last, "align", "true");
            Dialog.addToSameRow();
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddString("Page", last, "page", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Grey_range", last, "grey_range", "none", 16);
            fbAddChoice("Dimensions", last, "dimensions", newArray("auto", "2d", "3d"), "auto");
            Dialog.addToSameRow();
            fbAddCheckbox("Probabilities", last, "probabilities", "true");
            fbAddChoice("Probability_type", last, "probability_type", newArray("auto", "float32", "uint8"), "auto");
            Dialog.addToSameRow();
            fbAddCheckbox("Uncertainty", last, "uncertainty", "false");
            fbAddChoice("Ome_zarr", last, "ome_zarr", newArray("0.5", "0.4"), "0.5");
            Dialog.addToSameRow();
            fbAddChoice("Statistics", last, "statistics", newArray("auto", "training", "stack", "slice"), "auto");
            fbAddString("Vit_every", last, "vit_every", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Smooth_z", last, "smooth_z", "false");
            fbAddString("Minimum_size (px)", last, "minimum_size", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Fill_holes (px)", last, "fill_holes", "0", 7);
            fbAddString("Mode_filter (px)", last, "mode_filter", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Roi", last, "roi", "", 16);
            fbAddPath("Weights", last, "weights", "", false);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Heap", last, "heap", "", 16);
            fbAddString("Workers", last, "workers", "1", 7);
            Dialog.addToSameRow();
            fbAddString("Dask", last, "dask", "", 16);
            fbAddCheckbox("Merge_parts", last, "merge_parts", "false");
            Dialog.addToSameRow();
            fbAddString("Part", last, "part", "", 16);
            fbAddCheckbox("Resume", last, "resume", "false");
            Dialog.addToSameRow();
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Apply</h3>Segment images and stacks with a saved classifier.<br><br><b>align</b>: move the images of further detectors onto the first where they are displaced<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>page</b>: page of a file whose pages are no stack, such as a preview and the raw data, from 1; 0: chosen by itself, as the report's notes tell (at least 0)<br><b>grey range</b>: map the greys before the features are made: none; auto: the image's own range onto that of the training; LOW:HIGH: these greys onto 0 to 255, as ImageJ converts to 8-bit<br><b>dimensions</b>: what a .model of TWS was trained on, slices or volumes, where it does not say<br><b>probabilities</b>: write the class probabilities, too<br><b>probability type</b>: type of the probabilities that are written; auto: uint8 in OME-Zarr, where 255 is 1<br><b>uncertainty</b>: write the entropy of the probabilities, 0 (sure) to 1, too, and how unlike all labels pixels are, where the classifier knows: where to label next<br><b>ome zarr</b>: version of an OME-Zarr that is written; today's Fiji reads 0.4 alone<br><b>statistics</b>: whose grey levels and means features are scaled by: training: those of the training images, with the drift of greys along a stack undone; stack: those of about 16 slices of the stack, likewise; slice: each image and slice its own; auto: training for slices of a stack, slice for images<br><b>vit every</b>: the ViT sees every n-th slice of a stack, its tokens are interpolated between; 0: as many slices as lie within four pixels, each where their distance is not known; 1: each slice (0 to 100)<br><b>smooth z</b>: probabilities of a stack are means over a slice and its neighbours, weighted 1 : 2 : 1<br><b>minimum size</b>: connected regions of one class with fewer pixels get the class of what surrounds them; 0: all stay (0 to 1000000000 px)<br><b>fill holes</b>: holes of so many pixels at most are given the one class that encloses them; 0: none (0 to 1000000000 px)<br><b>mode filter</b>: radius of a disc: each pixel gets the class that is most frequent in it; 0: off (0 to 100 px)<br><b>roi</b>: segment this field alone: x,y,width,height in pixels, or a .roi file of ImageJ (its bounding box); default: the whole image<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>heap</b>: Java's memory, such as 4g; default: a third of the machine's, 8g at most<br><b>workers</b>: processes; 0: one a core (0 to 1024)<br><b>dask</b>: address of a Dask scheduler, such as tcp://host:8786; default: this machine<br><b>part</b>: do one part of the work alone, such as 3/10, for an array of cluster jobs; then once --merge-parts<br><b>merge parts</b>: put together what the parts did (--part), and write the result<br><b>resume</b>: continue a run that was stopped<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_align = Dialog.getCheckbox();
            v_databar = Dialog.getString();
            v_page = Dialog.getString();
            v_grey_range = Dialog.getString();
            v_dimensions = Dialog.getChoice();
            v_probabilities = Dialog.getCheckbox();
            v_probability_type = Dialog.getChoice();
            v_uncertainty = Dialog.getCheckbox();
            v_ome_zarr = Dialog.getChoice();
            v_statistics = Dialog.getChoice();
            v_vit_every = Dialog.getString();
            v_smooth_z = Dialog.getCheckbox();
            v_minimum_size = Dialog.getString();
            v_fill_holes = Dialog.getString();
            v_mode_filter = Dialog.getString();
            v_roi = Dialog.getString();
            v_weights = Dialog.getString();
            v_threads = Dialog.getString();
            v_heap = Dialog.getString();
            v_workers = Dialog.getString();
            v_dask = Dialog.getString();
            v_merge_parts = Dialog.getCheckbox();
            v_part = Dialog.getString();
            v_resume = Dialog.getCheckbox();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("apply", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "classifier", v_classifier, "");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "detectors", v_detectors, "");
    once = fbChosen(once, "slices", v_slices, "");
    if (v_more) {
        chosen = fbChosen(chosen, "align", fbTruth(v_align), "true");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        once = fbChosen(once, "page", v_page, "0");
        chosen = fbChosen(chosen, "grey_range", v_grey_range, "none");
        chosen = fbChosen(chosen, "dimensions", v_dimensions, "auto");
        chosen = fbChosen(chosen, "probabilities", fbTruth(v_probabilities), "true");
        chosen = fbChosen(chosen, "probability_type", v_probability_type, "auto");
        chosen = fbChosen(chosen, "uncertainty", fbTruth(v_uncertainty), "false");
        chosen = fbChosen(chosen, "ome_zarr", v_ome_zarr, "0.5");
        chosen = fbChosen(chosen, "statistics", v_statistics, "auto");
        chosen = fbChosen(chosen, "vit_every", v_vit_every, "0");
        chosen = fbChosen(chosen, "smooth_z", fbTruth(v_smooth_z), "false");
        chosen = fbChosen(chosen, "minimum_size", v_minimum_size, "0");
        chosen = fbChosen(chosen, "fill_holes", v_fill_holes, "0");
        chosen = fbChosen(chosen, "mode_filter", v_mode_filter, "0");
        once = fbChosen(once, "roi", v_roi, "");
        chosen = fbChosen(chosen, "weights", v_weights, "");
        chosen = fbChosen(chosen, "threads", v_threads, "0");
        chosen = fbChosen(chosen, "heap", v_heap, "");
        chosen = fbChosen(chosen, "workers", v_workers, "1");
        chosen = fbChosen(chosen, "dask", v_dask, "");
        chosen = fbChosen(chosen, "part", v_part, "");
        chosen = fbChosen(chosen, "merge_parts", fbTruth(v_merge_parts), "false");
        chosen = fbChosen(chosen, "resume", fbTruth(v_resume), "false");
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
    fbRemember("apply", kept);
    if (records)
        fbRecord("FB Apply", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("images", fbImage(fbOption(given, "images"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("classifier", v_classifier));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("detectors", v_detectors));
    arguments = fbJoined(arguments, fbPair("slices", v_slices));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("align", v_align));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("page", v_page));
        arguments = fbJoined(arguments, fbPair("grey_range", v_grey_range));
        arguments = fbJoined(arguments, fbPair("dimensions", v_dimensions));
        arguments = fbJoined(arguments, fbPair("probabilities", v_probabilities));
        arguments = fbJoined(arguments, fbPair("probability_type", v_probability_type));
        arguments = fbJoined(arguments, fbPair("uncertainty", v_uncertainty));
        arguments = fbJoined(arguments, fbPair("ome_zarr", v_ome_zarr));
        arguments = fbJoined(arguments, fbPair("statistics", v_statistics));
        arguments = fbJoined(arguments, fbPair("vit_every", v_vit_every));
        arguments = fbJoined(arguments, fbPair("smooth_z", v_smooth_z));
        arguments = fbJoined(arguments, fbPair("minimum_size", v_minimum_size));
        arguments = fbJoined(arguments, fbPair("fill_holes", v_fill_holes));
        arguments = fbJoined(arguments, fbPair("mode_filter", v_mode_filter));
        arguments = fbJoined(arguments, fbPair("roi", v_roi));
        arguments = fbJoined(arguments, fbPair("weights", v_weights));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("heap", v_heap));
        arguments = fbJoined(arguments, fbPair("workers", v_workers));
        arguments = fbJoined(arguments, fbPair("dask", v_dask));
        arguments = fbJoined(arguments, fbPair("part", v_part));
        arguments = fbJoined(arguments, fbPair("merge_parts", v_merge_parts));
        arguments = fbJoined(arguments, fbPair("resume", v_resume));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("apply", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
