// Puts the places whose classes the latest training of Train in Weka Window is least sure of into the ROI Manager, and
// selects the first: a stroke there helps most.
// In a macro: run("Label Here Next");

command { WindowTraining.labelNext(WekaWindow.find()) }
