// include FijiBridge.ijm
// Measure a segmented image or volume. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Measure");
    do {
        last = fbLast("measure");
        Dialog.create("FB Measure");
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Classes", last, "classes", "", 16);
        fbAddString("Voxel_size", last, "voxel_size", "", 16);
        fbAddString("Metrics", last, "metrics", "all", 16);
        fbAddString("Conductivities", last, "conductivities", "", 16);
        fbAddString("Export", last, "export", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Measure</h3>Measure a segmented image or volume.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><b>voxel size</b>: size of a volume's voxel (of an image: its pixel), z,y,x and its unit, such as 50,10,10 nm; default: from the file, else 1 px<br><b>metrics</b>: what to measure, separated by commas; all: all but those only when named; fractions: volume (area) fraction of each phase with a confidence interval; correlation: two-point auto- and cross-correlation of the phases; chords: chord lengths of each phase along each axis; surface: specific surface of each phase, interface area of each pair; triple: triple-phase boundary: where three phases meet; sizes: particle and pore sizes: local thickness of each phase; of a 2D image also the spheres behind its discs; connectivity: connected components and percolation of each phase; tortuosity: tortuosity factor of each phase along each axis; conductivity: effective conductivity of the composite along each axis; tensor: tensor of the conductivity of each phase, with conductivities of the composite (only when named); electrode_tortuosity: electrode tortuosity factor of each phase, from each face to its surface (only when named)<br><b>conductivities</b>: conductivity of each phase for that of the composite, such as ISE=1.2,CAM=0.01,pore=0<br><b>export</b>: write the volume for other tools, too: formats, separated by commas; vtk: phases.vti for ParaView and PyVista; stl: a closed surface of each phase; npz: labels, voxel size and names for NumPy; geodict: 8-bit raw voxels and a text for GeoDict's import; openpnm: a pore network of each phase for OpenPNM; bpx: Battery Parameter eXchange: porosity, transport efficiency, particle radius and surface<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_out = Dialog.getString();
        v_classes = Dialog.getString();
        v_voxel_size = Dialog.getString();
        v_metrics = Dialog.getString();
        v_conductivities = Dialog.getString();
        v_export = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Measure: more options");
            fbAddString("Confidence", last, "confidence", "0.95", 7);
            Dialog.addToSameRow();
            fbAddString("Background", last, "background", "", 16);
            fbAddChoice("Surface", last, "surface", newArray("intercepts", "marching-cubes"), "intercepts");
            Dialog.addToSameRow();
            fbAddString("Axes", last, "axes", "all", 16);
            fbAddChoice("Bpx_electrode", last, "bpx_electrode", newArray("positive", "negative"), "positive");
            Dialog.addToSameRow();
            fbAddString("Export_phases", last, "export_phases", "", 16);
            fbAddPath("Bpx_template", last, "bpx_template", "", false);
            fbAddChoice("Bpx_axis", last, "bpx_axis", newArray("z", "y", "x"), "z");
            Dialog.addToSameRow();
            fbAddString("Bpx_phases", last, "bpx_phases", "", 16);
            fbAddCheckbox("Bpx_whole", last, "bpx_whole", "false");
            Dialog.addToSameRow();
            fbAddString("Memory", last, "memory", "", 16);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Measure</h3>Measure a segmented image or volume.<br><br><b>background</b>: label value that is no part of the sample; default: every value is a phase, also 0<br><b>axes</b>: axes for transport and percolation, separated by commas; all, z, y, x<br><b>confidence</b>: level of the confidence intervals of the phase fractions (0.5 to 0.9999)<br><b>surface</b>: how interfaces are measured: intercepts in all directions, or marching cubes, to compare with other programs<br><b>export phases</b>: phases for stl and openpnm, separated by commas; default: every phase<br><b>bpx template</b>: BPX file of the cell, of which the measured numbers replace those of the electrode; default: bpx.json is a part, to be completed<br><b>bpx phases</b>: for bpx: the phase that holds the electrolyte, and the active material, such as pore=pore,particles=CAM<br><b>bpx electrode</b>: for bpx: the electrode that the volume is of<br><b>bpx axis</b>: for bpx: the axis from the current collector to the separator<br><b>bpx whole</b>: for bpx: the volume spans the electrode, so that its extent is the electrode's thickness<br><b>memory</b>: memory that the program may take, such as 2GB, for volumes larger than it; default: most of what is free<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_confidence = Dialog.getString();
            v_background = Dialog.getString();
            v_surface = Dialog.getChoice();
            v_axes = Dialog.getString();
            v_bpx_electrode = Dialog.getChoice();
            v_export_phases = Dialog.getString();
            v_bpx_template = Dialog.getString();
            v_bpx_axis = Dialog.getChoice();
            v_bpx_phases = Dialog.getString();
            v_bpx_whole = Dialog.getCheckbox();
            v_memory = Dialog.getString();
            v_threads = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("measure", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    chosen = fbChosen(chosen, "voxel_size", v_voxel_size, "");
    chosen = fbChosen(chosen, "metrics", v_metrics, "all");
    chosen = fbChosen(chosen, "conductivities", v_conductivities, "");
    chosen = fbChosen(chosen, "export", v_export, "");
    if (v_more) {
        chosen = fbChosen(chosen, "background", v_background, "");
        chosen = fbChosen(chosen, "axes", v_axes, "all");
        chosen = fbChosen(chosen, "confidence", v_confidence, "0.95");
        chosen = fbChosen(chosen, "surface", v_surface, "intercepts");
        chosen = fbChosen(chosen, "export_phases", v_export_phases, "");
        chosen = fbChosen(chosen, "bpx_template", v_bpx_template, "");
        chosen = fbChosen(chosen, "bpx_phases", v_bpx_phases, "");
        chosen = fbChosen(chosen, "bpx_electrode", v_bpx_electrode, "positive");
        chosen = fbChosen(chosen, "bpx_axis", v_bpx_axis, "z");
        chosen = fbChosen(chosen, "bpx_whole", fbTruth(v_bpx_whole), "false");
        chosen = fbChosen(chosen, "memory", v_memory, "");
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
    fbRemember("measure", kept);
    if (records)
        fbRecord("FB Measure", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("image", fbImage(fbOption(given, "image"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    arguments = fbJoined(arguments, fbPair("voxel_size", v_voxel_size));
    arguments = fbJoined(arguments, fbPair("metrics", v_metrics));
    arguments = fbJoined(arguments, fbPair("conductivities", v_conductivities));
    arguments = fbJoined(arguments, fbPair("export", v_export));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("background", v_background));
        arguments = fbJoined(arguments, fbPair("axes", v_axes));
        arguments = fbJoined(arguments, fbPair("confidence", v_confidence));
        arguments = fbJoined(arguments, fbPair("surface", v_surface));
        arguments = fbJoined(arguments, fbPair("export_phases", v_export_phases));
        arguments = fbJoined(arguments, fbPair("bpx_template", v_bpx_template));
        arguments = fbJoined(arguments, fbPair("bpx_phases", v_bpx_phases));
        arguments = fbJoined(arguments, fbPair("bpx_electrode", v_bpx_electrode));
        arguments = fbJoined(arguments, fbPair("bpx_axis", v_bpx_axis));
        arguments = fbJoined(arguments, fbPair("bpx_whole", v_bpx_whole));
        arguments = fbJoined(arguments, fbPair("memory", v_memory));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("measure", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
