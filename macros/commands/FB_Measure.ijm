// include FijiBridge.ijm
// Measure a segmented image or volume. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Measure");
fbAddPath("Out", "", true);
Dialog.addString("Classes", "", 16);
Dialog.addString("Background", "", 16);
Dialog.addString("Voxel_size", "", 16);
Dialog.addString("Metrics", "all", 16);
Dialog.addString("Axes", "all", 16);
Dialog.addString("Conductivities", "", 16);
Dialog.addString("Confidence", "0.95", 7);
Dialog.addToSameRow();
Dialog.addChoice("Surface", newArray("gradient", "marching-cubes", "intercepts"), "gradient");
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Measure</h3>Measure a segmented image or volume.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>classes</b>: names of the phases in the order of their values, separated by commas; empty: those in the file<br><b>background</b>: label value that is no part of the sample; empty: every value is a phase, 0 too<br><b>voxel size</b>: size of a voxel, z,y,x and its unit, such as 50,10,10 nm; empty: from the file, else 1 px<br><b>metrics</b>: all, or some of fractions, correlation, chords, surface, triple, sizes, connectivity, tortuosity, conductivity, separated by commas<br><b>axes</b>: axes for transport and percolation: all, or some of z,y,x<br><b>conductivities</b>: conductivity of each phase for that of the composite, such as ISE=1.2,CAM=0.01,pore=0<br><b>confidence</b>: of the intervals of the phase fractions (0.5 to 0.9999)<br><b>surface</b>: how interfaces are measured: smoothed gradient, marching cubes, or intercepts (for layers of a few voxels)<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("image", fbImage(fbOption(given, "image"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("classes", Dialog.getString());
arguments = arguments + ", " + fbPair("background", Dialog.getString());
arguments = arguments + ", " + fbPair("voxel_size", Dialog.getString());
arguments = arguments + ", " + fbPair("metrics", Dialog.getString());
arguments = arguments + ", " + fbPair("axes", Dialog.getString());
arguments = arguments + ", " + fbPair("conductivities", Dialog.getString());
arguments = arguments + ", " + fbPair("confidence", Dialog.getString());
arguments = arguments + ", " + fbPair("surface", Dialog.getChoice());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("measure", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
