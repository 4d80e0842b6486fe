// TWS's button Apply classifier after Train with ViT: a dialog, then a process of its own while training goes on.
def shown = openThree(image("image.tif"))
traces(shown, strokes())
say("trained", script("Train_in_Weka_Window", "preset=fast"))
def apply = { String images, String out -> say("screen ${out - WORK}", applyByButton(shown, images, out)) }
apply(WORK + "/image.tif", WORK + "/applied")
until("progress", 20) { java.awt.Window.windows.any { it.showing && it instanceof javax.swing.JFrame && it.title.startsWith("Apply classifier") } }
IJ.selectWindow(shown.ID)
WindowManager.currentWindow = shown.window
say("trained meanwhile", script("Train_in_Weka_Window", "preset=fast"))
until("applied", 90) { new File(WORK, "applied/report.json").isFile() }
until("shown", 20) { WindowManager.getImage("image_labels.tif") != null }
apply(WORK + "/nothing.tif", WORK + "/other")
until("refusal", 20) { IJ.log?.contains("no image") } // script() sent the next message into the Log
say("no image", IJ.log)
apply(WORK + "/image.tif", WORK + "/stopped")
until("progress", 20) { java.awt.Window.windows.any { it.showing && it instanceof javax.swing.JFrame && it.title.startsWith("Apply classifier") } }
Thread.sleep(1000)
def frame = java.awt.Window.windows.find { it.showing && it instanceof javax.swing.JFrame && it.title.startsWith("Apply classifier") }
frame.contentPane.components.find { it instanceof javax.swing.JButton }.doClick()
say("cancelled", closeDialog("of cancelling"))
say("left", new File(WORK, "stopped").exists() || new File(WORK).list().any { it.startsWith(".stopped") })
System.exit(0)
