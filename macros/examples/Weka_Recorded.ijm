// Recorded in Trainable Weka Segmentation, which opens its window for it. Weka_Converted.ijm is what
//     fijibridge convert-macro Weka_Recorded.ijm --out Weka_Converted.ijm
// makes of it: it needs no window, and runs headlessly, too. Both take a folder with micrograph.tif and next.tif:
//     fijibridge macro Weka_Converted.ijm /folder/

folder = getArgument();
open(folder + "micrograph.tif");
run("Trainable Weka Segmentation");
wait(3000);
selectWindow("Trainable Weka Segmentation v4.0.0");
call("trainableSegmentation.Weka_Segmentation.changeClassName", "0", "matrix");
call("trainableSegmentation.Weka_Segmentation.changeClassName", "1", "particle");
call("trainableSegmentation.Weka_Segmentation.setFeature", "Sobel_filter=true");
call("trainableSegmentation.Weka_Segmentation.setClassifier", "hr.irb.fastRandomForest.FastRandomForest", "-I 50 -K 2 -S 3");
call("trainableSegmentation.Weka_Segmentation.setClassBalance", "true");
makeRectangle(2, 2, 30, 12);
call("trainableSegmentation.Weka_Segmentation.addTrace", "0", "1");
makeLine(5, 90, 90, 90);
call("trainableSegmentation.Weka_Segmentation.addTrace", "0", "1");
makeOval(40, 40, 16, 16);
call("trainableSegmentation.Weka_Segmentation.addTrace", "1", "1");
call("trainableSegmentation.Weka_Segmentation.trainClassifier");
call("trainableSegmentation.Weka_Segmentation.getResult");
selectImage("Classified image");
saveAs("Tiff", folder + "result.tif");
selectWindow("Trainable Weka Segmentation v4.0.0");
call("trainableSegmentation.Weka_Segmentation.getProbability");
selectImage("Probability maps");
saveAs("Tiff", folder + "probability.tif");
selectWindow("Trainable Weka Segmentation v4.0.0");
call("trainableSegmentation.Weka_Segmentation.saveClassifier", folder + "classifier.model");
call("trainableSegmentation.Weka_Segmentation.saveData", folder + "data.arff");
call("trainableSegmentation.Weka_Segmentation.applyClassifier", folder, "next.tif", "showResults=false", "storeResults=true", "probabilityMaps=false", folder + "results");
