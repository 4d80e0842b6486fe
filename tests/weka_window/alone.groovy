// ViT features alone and beside TWS's own; traces before and after; a second time; what the buttons do then.
say("no window", script("ViT_Features_in_Weka_Window", "channels=16"))
def truth = image("truth.tif"), labels = strokes()
def shown = openThree(image("image.tif"))
say("no classifier", script("Forest_to_Python", "out=/nowhere"))
traces(shown, labels) // before: TWS has marked the slice's features as to be made
say("alone", script("ViT_Features_in_Weka_Window", "channels=16"))
say("names alone", labelsOf(shown).join(","))
weka(shown, "trainClassifier")
say("kept alone", labelsOf(shown).size())
say("accuracy alone", agreement(result(shown), truth))
weka(shown, "getProbability")
def maps = WindowManager.getImage("Probability maps")
say("maps", [maps.width, maps.height, maps.NChannels].join(","))
maps.changes = false
maps.close()

say("both", script("ViT_Features_in_Weka_Window", "channels=16 tws_features"))
say("result is off", !button(shown, "Create result").enabled)
say("names both", labelsOf(shown).size())
say("more traces", traces(shown, labels, 1, 3)) // after
weka(shown, "trainClassifier")
say("kept both", labelsOf(shown).size())
say("accuracy both", agreement(result(shown), truth))

say("again", script("ViT_Features_in_Weka_Window", "channels=16 tws_features"))
say("still trained", button(shown, "Create result").enabled)
press(shown, "Apply classifier")
say("apply says", closeDialog("of Apply classifier"))

press(shown, "Train classifier") // as a person does, not as a macro
until("training", 120) { button(shown, "Train classifier")?.enabled && button(shown, "Create result").enabled && dialogs().empty }
say("kept by button", labelsOf(shown).size())

weka(shown, "setMaximumSigma", "8") // as Settings does
say("after settings", labelsOf(shown).size())
press(shown, "Train classifier")
say("train says", closeDialog("of Train classifier"))
weka(shown, "trainClassifier")
say("tws own", labelsOf(shown).every { !it.startsWith("vit_") })
say("log", IJ.log)
System.exit(0)
