// include FijiBridge.ijm
// Simulate SE + BSE micrographs of composite electrodes, with labels. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Simulate");
    do {
        last = fbLast("simulate");
        Dialog.create("FB Simulate");
        fbAddString("Count", last, "count", "100", 7);
        Dialog.addToSameRow();
        fbAddChoice("Material", last, "material", newArray("generic", "licoo2", "ncm-li3ps4", "si-li6ps5cl-vgcf"), "generic");
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Size (px)", last, "size", "0", 7);
        fbAddPath("Preview", last, "preview", "", false);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Simulate</h3>Simulate SE + BSE micrographs of composite electrodes, with labels.<br><br><b>material</b>: electrode whose materials, structure and imaging are simulated; generic, licoo2, ncm-li3ps4, si-li6ps5cl-vgcf<br><b>out</b>: folder of the data set; what is written stays when stopped<br><b>count</b>: SE + BSE pairs (1 to 10000000)<br><b>size</b>: height and width of the micrographs; 0: the material's or the config's (0 to 4096 px)<br><b>preview</b>: PNG of the first pairs; without --out only this is made<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_count = Dialog.getString();
        v_material = Dialog.getChoice();
        v_out = Dialog.getString();
        v_size = Dialog.getString();
        v_preview = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Simulate: more options");
            fbAddPath("Config", last, "config", "", false);
            fbAddString("Seed", last, "seed", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Workers", last, "workers", "0", 7);
            fbAddCheckbox("Resume", last, "resume", "false");
            Dialog.addToSameRow();
            fbAddString("Dask", last, "dask", "", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Simulate</h3>Simulate SE + BSE micrographs of composite electrodes, with labels.<br><br><b>config</b>: TOML file with materials and ranges of your own, instead of a named material<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>workers</b>: processes; 0: one a core (0 to 1024)<br><b>dask</b>: address of a Dask scheduler, such as tcp://host:8786; default: this machine<br><b>resume</b>: continue a run that was stopped<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_config = Dialog.getString();
            v_seed = Dialog.getString();
            v_workers = Dialog.getString();
            v_resume = Dialog.getCheckbox();
            v_dask = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("simulate", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "material", v_material, "generic");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "count", v_count, "100");
    chosen = fbChosen(chosen, "size", v_size, "0");
    once = fbChosen(once, "preview", v_preview, "");
    if (v_more) {
        chosen = fbChosen(chosen, "config", v_config, "");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "workers", v_workers, "0");
        chosen = fbChosen(chosen, "dask", v_dask, "");
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
    fbRemember("simulate", kept);
    if (records)
        fbRecord("FB Simulate", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("material", v_material));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("count", v_count));
    arguments = fbJoined(arguments, fbPair("size", v_size));
    arguments = fbJoined(arguments, fbPair("preview", v_preview));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("config", v_config));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("workers", v_workers));
        arguments = fbJoined(arguments, fbPair("dask", v_dask));
        arguments = fbJoined(arguments, fbPair("resume", v_resume));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("simulate", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
