// Features that do not fit into Java's memory are refused before any is made.
def shown = openTws(IJ.createImage("large", "8-bit ramp", 512, 512, 1))
say("large", script("ViT_Features_in_Weka_Window", "preset=fast channels=0"))
say("two scales", script("ViT_Features_in_Weka_Window", "channels=0 tws_features"))
say("features", labelsOf(shown).size())
say("no feature file", script("ViT_Features_in_Weka_Window", "classifier=[${WORK}/nowhere]"))
System.exit(0)
