// include FijiBridge.ijm
// Recorded in Trainable Weka Segmentation, which opens its window for it. Weka_Converted.ijm is what
//     fijibridge convert-macro Weka_Recorded.ijm --out Weka_Converted.ijm
// makes of it: it needs no window, and runs headlessly, too. Both take a folder with micrograph.tif and next.tif:
//     fijibridge macro Weka_Converted.ijm /folder/

folder = getArgument();
open(folder + "micrograph.tif");
fbWekaOpen();
wait(3000);
fbWekaSelect();
fbWekaChangeClassName("0", "matrix");
fbWekaChangeClassName("1", "particle");
fbWekaSetFeature("Sobel_filter=true");
fbWekaSetClassifier("hr.irb.fastRandomForest.FastRandomForest", "-I 50 -K 2 -S 3");
fbWekaSetClassBalance("true");
makeRectangle(2, 2, 30, 12);
fbWekaAddTrace("0", "1");
makeLine(5, 90, 90, 90);
fbWekaAddTrace("0", "1");
makeOval(40, 40, 16, 16);
fbWekaAddTrace("1", "1");
fbWekaTrainClassifier();
fbWekaGetResult();
selectImage("Classified image");
saveAs("Tiff", folder + "result.tif");
fbWekaSelect();
fbWekaGetProbability();
selectImage("Probability maps");
saveAs("Tiff", folder + "probability.tif");
fbWekaSelect();
fbWekaSaveClassifier(folder + "classifier.model");
fbWekaSaveData(folder + "data.arff");
fbWekaApplyClassifier(folder, "next.tif", "showResults=false", "storeResults=true", "probabilityMaps=false", folder + "results");
