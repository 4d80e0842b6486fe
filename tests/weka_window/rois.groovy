// Traces to a ROI set and back, before and after features are put in.
def line = { int[] x, int[] y, float width ->
    def roi = new PolygonRoi(x, y, x.length, Roi.FREELINE)
    roi.strokeWidth = width
    roi
}
def kinds = { -> [[0, new Roi(20, 30, 25, 10)], [0, line([60, 70, 90] as int[], [60, 66, 70] as int[], 1f)],
    [1, line([100, 120, 130] as int[], [20, 24, 60] as int[], 5f)], [1, new OvalRoi(140, 140, 20, 14)],
    [2, new PolygonRoi([20, 50, 40] as int[], [120, 130, 160] as int[], 3, Roi.POLYGON)], [2, new Line(5, 180, 60, 185)]] }
def shown = openThree(image("image.tif"))
say("no traces", script("Traces_to_ROI_Set", "roi_set=[${WORK}/empty.zip]"))
kinds().each { k, roi ->
    shown.setRoi(roi)
    weka(shown, "addTrace", k, 1)
}
weka(shown, "changeClassName", 0, "ISE")
weka(shown, "changeClassName", 1, "CAM")
weka(shown, "changeClassName", 2, "pore")
say("saved", script("Traces_to_ROI_Set", "roi_set=[${WORK}/traces.zip] label_image=[${WORK}/traces.tif]"))

def all = { window -> (0..<segmentation(window).numOfClasses).collectMany { k -> segmentation(window).getExamples(k, 1).collect { [k, it] } } }
def before = all(shown)
def second = openTws(image("image.tif")) // two classes, TWS's names
say("back", script("ROI_Set_to_Traces", "roi_set=[${WORK}/traces.zip]"))
def after = all(second)
say("classes", (0..<segmentation(second).numOfClasses).collect { segmentation(second).getClassLabel(it) }.join(","))
say("identical", [before, after].transpose().every { one, other ->
    one[0] == other[0] && one[1].equals(other[1]) && one[1].strokeWidth == other[1].strokeWidth
} && before.size() == after.size())
def lists = second.window.class.getDeclaredField('this$0').with { it.accessible = true; it.get(second.window) }
lists = lists.class.getDeclaredField("exampleList").with { it.accessible = true; it.get(lists) }
say("lists", (0..2).collect { lists[it].itemCount }.join(","))

say("inject", script("ViT_Features_in_Weka_Window", "preset=fast channels=8"))
say("more", script("ROI_Set_to_Traces", "roi_set=[${WORK}/strokes.zip]"))
weka(second, "trainClassifier")
say("kept", labelsOf(second).size())
say("names", (0..<segmentation(second).numOfClasses).collect { segmentation(second).getClassLabel(it) }.join(","))
say("outside", script("ROI_Set_to_Traces", "roi_set=[${WORK}/outside.zip]"))
say("point", script("ROI_Set_to_Traces", "roi_set=[${WORK}/point.roi]"))
say("unnamed", script("ROI_Set_to_Traces", "roi_set=[${WORK}/unnamed.roi]"))
say("no file", script("ROI_Set_to_Traces", "roi_set=[${WORK}/none.zip]"))
say("no manager", script("ROI_Set_to_Traces", "roi_set=[]"))
say("unchanged", all(second).size())
say("shown", script("Traces_to_ROI_Set", "show"))
say("label image", WindowManager.getImage("labels") != null)
say("log", IJ.log)
System.exit(0)
