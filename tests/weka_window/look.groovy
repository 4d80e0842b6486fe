// A large image: the overlay by TWS's features comes first.
def shown = openThree(image("image.tif"))
traces(shown, strokes(), 1, 16)
def looked = false
def watch = Thread.start {
    while (!IJ.log?.contains("trained on")) {
        if (IJ.log?.contains("a first look") && segmentation(shown).classifiedImage != null)
            looked = true
        Thread.sleep(20)
    }
}
say("trained", script("Train_in_Weka_Window", "preset=default"))
watch.join()
say("looked", looked)
say("log", IJ.log)
System.exit(0)
