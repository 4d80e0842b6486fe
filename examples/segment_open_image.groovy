// Segments the active image from a Groovy script, as Fiji's Script Editor runs it (Language > Groovy), and measures the
// result. Fiji must have been prepared by "fijibridge install".

import ij.IJ
import ij.WindowManager

def image = IJ.getImage()
def labels = WindowManager.getImage("strokes") // 0: unlabelled, 1, 2, ...: classes; a file's path does as well
if (labels == null)
    throw new IllegalStateException("open the labels as an image named strokes")

IJ.run(image, "FB Segment", "labels=strokes classes=[matrix, particle] features=tws trees=50 show")

def result = IJ.getImage() // NAME_labels
def count = result.getProcessor().getHistogram()
IJ.log("particle: " + count[2] / (double) (count[1] + count[2]))
