// Trains on the traces of the open window of Trainable Weka Segmentation as "fijibridge segment" does, and shows the result
// there; TWS's buttons go on with it.
// In a macro: run("Train in Weka Window", "preset=default");

command {
    def window = WekaWindow.find()
    def given = Macro.options
    def preset = given == null ? WindowTraining.preset : Macro.getValue(given, "preset", WindowTraining.PRESETS[0])
    WindowTraining.offer(window)
    WindowTraining.run(window, preset)
}
