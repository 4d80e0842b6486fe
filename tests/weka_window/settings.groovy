// ViT features beside those of TWS's own that Settings ask for, before and after others were in the window.
def shown = openThree(image("image.tif"))
["Sobel_filter=false", "Hessian=false", "Difference_of_gaussians=false", "Membrane_projections=false", "Median=true"].each {
    weka(shown, "setFeature", it)
}
weka(shown, "setMinimumSigma", "2")
weka(shown, "setMaximumSigma", "8")
traces(shown, strokes())
def put = { String options -> script("ViT_Features_in_Weka_Window", "preset=fast channels=4 " + options) }
say("beside", put("tws_features"))
say("names", labelsOf(shown).join(","))
weka(shown, "trainClassifier")
say("accuracy", agreement(result(shown), image("truth.tif")))
say("alone", put(""))
say("names alone", labelsOf(shown).join(","))
say("again", put("tws_features"))
say("names again", labelsOf(shown).join(","))
say("sigmas", segmentation(shown).with { [it.minimumSigma, it.maximumSigma] }.join(","))

// another filter ticked while features of the ViT alone are in the window
put("")
weka(shown, "setFeature", "Kuwahara=true")
weka(shown, "setMembranePatchSize", "7")
weka(shown, "setMaximumSigma", "4")
say("changed", put("tws_features"))
say("names changed", labelsOf(shown).join(","))
weka(shown, "setFeature", "Kuwahara=false")
say("none", put("tws_features"))
System.exit(0)
