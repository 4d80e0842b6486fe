// Segments an image that is open in ImageJ, by rectangles drawn as labels, and prints how much of each class there is.
//
//     fijibridge macro examples/segment_open_image.ijm
//
// In an ImageJ or Fiji that was prepared by "fijibridge install" add as the first line:  // include FijiBridge.ijm

newImage("micrograph", "16-bit noise", 256, 256, 1);
run("Gaussian Blur...", "sigma=2");
makeOval(60, 60, 120, 120); // a particle
run("Add...", "value=8000");
run("Select None");

newImage("strokes", "8-bit black", 256, 256, 1); // 0: unlabelled, 1: matrix, 2: particle
makeRectangle(10, 10, 200, 12);
run("Set...", "value=1");
makeRectangle(100, 100, 40, 12);
run("Set...", "value=2");
run("Select None");

result = fbSegment("micrograph", "strokes", "", "classes=[matrix,particle] features=tws trees=50");
print("particle: " + fbValue(result, "class_fractions.particle"));
print("images open: " + nImages); // the result's images are open beside the two
