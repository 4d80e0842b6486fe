// include FijiBridge.ijm
// Train a classifier on several labelled images, on data that TWS saved, or on both. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Train");
    do {
        last = fbLast("train");
        Dialog.create("FB Train");
        fbAddPath("Labels", last, "labels", fbDefaultLabels(), false);
        fbAddPath("Feature_file", last, "feature_file", "", true);
        fbAddPath("Out", last, "out", "", true);
        fbAddChoice("Preset", last, "preset", newArray("fast", "default", "best"), "default");
        Dialog.addToSameRow();
        fbAddString("Classes", last, "classes", "", 16);
        fbAddString("Detectors", last, "detectors", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Train</h3>Train a classifier on several labelled images, on data that TWS saved, or on both.<br><br><b>labels</b>: label image or ImageJ ROIs (.zip, .roi) of each image in order, or a folder with files named as the images; of a stack on any of its slices<br><b>feature file</b>: features.json that features wrote, or a saved classifier: features are made as it says<br><b>out</b>: folder for the results; it appears when they are complete<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><b>preset</b>: how much the ViT does: which blocks see the image, how often and how enlarged; explicit options override it<br><b>detectors</b>: further detectors' images of the same field, NAME=FILE with commas between, such as SE=SE.tif, EDX-S=S.tif; a folder stands for the file in it that is named as the image<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_labels = Dialog.getString();
        v_feature_file = Dialog.getString();
        v_out = Dialog.getString();
        v_preset = Dialog.getChoice();
        v_classes = Dialog.getString();
        v_detectors = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Train: more options");
            fbAddPath("Data", last, "data", "", false);
            fbAddChoice("Engine", last, "engine", newArray("sklearn", "weka"), "sklearn");
            Dialog.addToSameRow();
            fbAddChoice("Head", last, "head", newArray("linear", "none"), "linear");
            fbAddString("Sigma", last, "sigma", "", 7);
            Dialog.addToSameRow();
            fbAddString("Features", last, "features", "", 16);
            fbAddString("Membrane", last, "membrane", "", 7);
            Dialog.addToSameRow();
            fbAddString("Encoder", last, "encoder", "vit_small_patch14_dinov2", 16);
            fbAddString("Channels", last, "channels", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Blocks", last, "blocks", "", 16);
            fbAddString("Enlargement", last, "enlargement", "", 7);
            Dialog.addToSameRow();
            fbAddString("Coarse_blocks", last, "coarse_blocks", "", 16);
            fbAddString("Tile (px)", last, "tile", "0", 7);
            Dialog.addToSameRow();
            fbAddChoice("Debiasing", last, "debiasing", newArray("preset", "template", "none", "mean", "flips", "rolls", "alibi", "distilled", "template+flips"), "preset");
            fbAddCheckbox("Align", last, "align", "true");
            Dialog.addToSameRow();
            fbAddChoice("Upsampler", last, "upsampler", newArray("preset", "bilinear", "guided", "learned", "strided", "scale"), "preset");
            fbAddPath("Upsampler_weights", last, "upsampler_weights", "", false);
            fbAddPath("Network", last, "network", "", true);
            fbAddString("Trees", last, "trees", "100", 7);
            Dialog.addToSameRow();
            fbAddString("Detector", last, "detector", "BSE", 16);
            fbAddString("Max_depth", last, "max_depth", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Max_features", last, "max_features", "sqrt", 16);
            fbAddCheckbox("Balance", last, "balance", "false");
            Dialog.addToSameRow();
            fbAddString("Seed", last, "seed", "0", 7);
            fbAddString("Page", last, "page", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddCheckbox("Save_data", last, "save_data", "false");
            Dialog.addToSameRow();
            fbAddCheckbox("Importance", last, "importance", "false");
            fbAddPath("Weights", last, "weights", "", false);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Heap", last, "heap", "", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Train</h3>Train a classifier on several labelled images, on data that TWS saved, or on both.<br><br><b>data</b>: labelled samples that TWS saved (Save data, .arff): they train, too<br><b>engine</b>: who trains the forest: scikit-learn, or Weka's FastRandomForest as in TWS<br><b>head</b>: linear: a linear head, fitted to the labels and to pseudo-labels by label propagation, turns the ViT's channels into class probabilities for the forest; none: the forest sees the channels, and the labels alone<br><b>features</b>: kinds of features, or TWS's filters by name (their beginning serves), separated by commas, such as tws,vit or Gaussian,Hessian,Membrane; or a recipe (recipe.toml of a saved classifier), which other options override; default: tws,vit, and network where one is given; tws: Trainable Weka Segmentation's 76 default features; tws3d: its default features of volumes; vit: a vision transformer's tokens, upsampled; conv: early layers of a convolutional network; network: class probabilities of a trained network; tws:all: all of TWS's filters; tws:colour: those of TWS for an RGB image: of red, green and blue, and hue, saturation, brightness; tws3d:all: all of TWS's filters of volumes, or some by name, such as tws3d:Hessian; tws3d:isotropic: derivatives along z by the voxel's depth, too, which TWS takes by the slice; tws3d:colour: those of TWS for an RGB volume; conv:vgg19: those of VGG19, whose weights are by some accounts not for commercial use; Gabor, Anisotropic_diffusion, Bilateral, Lipschitz, Kuwahara, Gaussian_blur, Sobel_filter, Hessian, Difference_of_gaussians, Variance, Mean, Minimum, Maximum, Median, Derivatives, Laplacian, Structure, Entropy, Membrane_projections, Neighbors, tws3d:Gaussian_blur, tws3d:Difference_of_Gaussian, tws3d:Hessian, tws3d:Derivatives, tws3d:Laplacian, tws3d:Edges, tws3d:Structure, tws3d:Minimum, tws3d:Maximum, tws3d:Mean, tws3d:Median, tws3d:Variance<br><b>sigma</b>: smallest and largest sigma of TWS's filters; they double between these; default: 1:16, of volumes 1:8 (px)<br><b>membrane</b>: side of the patch of TWS's membrane projections and Kuwahara filter, and thickness of membranes; default: 19:1 (px)<br><b>encoder</b>: timm's name of a ViT<br><b>blocks</b>: transformer blocks used, the first being 1, separated by commas; default: the preset's<br><b>coarse blocks</b>: blocks that see the image at half the enlargement, too; 'none': no such blocks; default: the preset's<br><b>channels</b>: principal components kept of the ViT's channels at each scale; 0: all channels (0 to 4096)<br><b>enlargement</b>: enlargement of the image before the ViT sees it; default: the preset's (0.25 to 8)<br><b>debiasing</b>: how the ViT's positional bias is removed; template: what tiles have in common is subtracted; none: the bias stays; mean: the ViT never learns where a patch is, at some cost in accuracy; flips: mean over the four flips of each tile (4 passes); rolls: mean over two shifted tilings (2 passes); alibi: as mean, and attention falls with distance; distilled: as template, and directions that encode the position are projected out; template+flips: both (4 passes); default: the preset's<br><b>upsampler</b>: from the patch grid to pixels; bilinear: between the centres of the patches; guided: joint bilateral, along the image's edges; learned: joint bilateral, along what a small network sees; strided: the ViT sees the image four times, moved by half a patch: 4 times the cost; scale: the image enlarged twice as much: 4 times the cost; default: the preset's<br><b>upsampler weights</b>: for upsampler learned: a file that train-upsampler wrote, or a checkpoint (.pth) of github.com/tldr-group/vulture; default: the package's<br><b>tile</b>: side of a tile of the enlarged image; 0: 280, or 784 with debiasing mean (0 to 4096 px)<br><b>network</b>: folder of a trained network, whose class probabilities become features, too<br><b>detector</b>: the detector that took the image, such as SE or BSE: for a network, and beside further detectors<br><b>align</b>: move the images of further detectors onto the first where they are displaced<br><b>trees</b>: number of trees (1 to 10000)<br><b>max features</b>: features tried at a split: sqrt, log2, or a number<br><b>max depth</b>: greatest depth of a tree; 0: no limit (0 to 10000)<br><b>balance</b>: draw as many samples of each class, with copies of those of rare ones, as TWS's Balance classes does<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>page</b>: page of a file whose pages are no stack, such as a preview and the raw data, from 1; 0: chosen by itself, as the report's notes tell (at least 0)<br><b>save data</b>: write data.arff, too: features at all labelled pixels, as TWS saves and loads them<br><b>importance</b>: write importance.csv and importance.png, too: which features the forest and the linear head use<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>heap</b>: Java's memory, such as 4g; default: a third of the machine's, 8g at most<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_data = Dialog.getString();
            v_engine = Dialog.getChoice();
            v_head = Dialog.getChoice();
            v_sigma = Dialog.getString();
            v_features = Dialog.getString();
            v_membrane = Dialog.getString();
            v_encoder = Dialog.getString();
            v_channels = Dialog.getString();
            v_blocks = Dialog.getString();
            v_enlargement = Dialog.getString();
            v_coarse_blocks = Dialog.getString();
            v_tile = Dialog.getString();
            v_debiasing = Dialog.getChoice();
            v_align = Dialog.getCheckbox();
            v_upsampler = Dialog.getChoice();
            v_upsampler_weights = Dialog.getString();
            v_network = Dialog.getString();
            v_trees = Dialog.getString();
            v_detector = Dialog.getString();
            v_max_depth = Dialog.getString();
            v_max_features = Dialog.getString();
            v_balance = Dialog.getCheckbox();
            v_seed = Dialog.getString();
            v_page = Dialog.getString();
            v_databar = Dialog.getString();
            v_save_data = Dialog.getCheckbox();
            v_importance = Dialog.getCheckbox();
            v_weights = Dialog.getString();
            v_threads = Dialog.getString();
            v_heap = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("train", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "labels", v_labels, "");
    chosen = fbChosen(chosen, "feature_file", v_feature_file, "");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    chosen = fbChosen(chosen, "preset", v_preset, "default");
    chosen = fbChosen(chosen, "detectors", v_detectors, "");
    if (v_more) {
        chosen = fbChosen(chosen, "data", v_data, "");
        chosen = fbChosen(chosen, "engine", v_engine, "sklearn");
        chosen = fbChosen(chosen, "head", v_head, "linear");
        chosen = fbChosen(chosen, "features", v_features, "");
        chosen = fbChosen(chosen, "sigma", v_sigma, "");
        chosen = fbChosen(chosen, "membrane", v_membrane, "");
        chosen = fbChosen(chosen, "encoder", v_encoder, "vit_small_patch14_dinov2");
        chosen = fbChosen(chosen, "blocks", v_blocks, "");
        chosen = fbChosen(chosen, "coarse_blocks", v_coarse_blocks, "");
        chosen = fbChosen(chosen, "channels", v_channels, "0");
        chosen = fbChosen(chosen, "enlargement", v_enlargement, "");
        chosen = fbChosen(chosen, "debiasing", v_debiasing, "preset");
        chosen = fbChosen(chosen, "upsampler", v_upsampler, "preset");
        chosen = fbChosen(chosen, "upsampler_weights", v_upsampler_weights, "");
        chosen = fbChosen(chosen, "tile", v_tile, "0");
        chosen = fbChosen(chosen, "network", v_network, "");
        chosen = fbChosen(chosen, "detector", v_detector, "BSE");
        chosen = fbChosen(chosen, "align", fbTruth(v_align), "true");
        chosen = fbChosen(chosen, "trees", v_trees, "100");
        chosen = fbChosen(chosen, "max_features", v_max_features, "sqrt");
        chosen = fbChosen(chosen, "max_depth", v_max_depth, "0");
        chosen = fbChosen(chosen, "balance", fbTruth(v_balance), "false");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        once = fbChosen(once, "page", v_page, "0");
        chosen = fbChosen(chosen, "save_data", fbTruth(v_save_data), "false");
        chosen = fbChosen(chosen, "importance", fbTruth(v_importance), "false");
        chosen = fbChosen(chosen, "weights", v_weights, "");
        chosen = fbChosen(chosen, "threads", v_threads, "0");
        chosen = fbChosen(chosen, "heap", v_heap, "");
        once = fbChosen(once, "overwrite", fbTruth(v_overwrite), "false");
    }
    kept = chosen;
    shown = "";
    if (v_show)
        shown = "show";
    else
        kept = kept + "show=false ";
    if (v_more)
        kept = kept + "more_options";
    fbRemember("train", kept);
    if (records)
        fbRecord("FB Train", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("images", fbImage(fbOption(given, "images"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("labels", fbLabels(v_labels, id)));
    arguments = fbJoined(arguments, fbPair("feature_file", v_feature_file));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    arguments = fbJoined(arguments, fbPair("preset", v_preset));
    arguments = fbJoined(arguments, fbPair("detectors", v_detectors));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("data", v_data));
        arguments = fbJoined(arguments, fbPair("engine", v_engine));
        arguments = fbJoined(arguments, fbPair("head", v_head));
        arguments = fbJoined(arguments, fbPair("features", v_features));
        arguments = fbJoined(arguments, fbPair("sigma", v_sigma));
        arguments = fbJoined(arguments, fbPair("membrane", v_membrane));
        arguments = fbJoined(arguments, fbPair("encoder", v_encoder));
        arguments = fbJoined(arguments, fbPair("blocks", v_blocks));
        arguments = fbJoined(arguments, fbPair("coarse_blocks", v_coarse_blocks));
        arguments = fbJoined(arguments, fbPair("channels", v_channels));
        arguments = fbJoined(arguments, fbPair("enlargement", v_enlargement));
        arguments = fbJoined(arguments, fbPair("debiasing", v_debiasing));
        arguments = fbJoined(arguments, fbPair("upsampler", v_upsampler));
        arguments = fbJoined(arguments, fbPair("upsampler_weights", v_upsampler_weights));
        arguments = fbJoined(arguments, fbPair("tile", v_tile));
        arguments = fbJoined(arguments, fbPair("network", v_network));
        arguments = fbJoined(arguments, fbPair("detector", v_detector));
        arguments = fbJoined(arguments, fbPair("align", v_align));
        arguments = fbJoined(arguments, fbPair("trees", v_trees));
        arguments = fbJoined(arguments, fbPair("max_features", v_max_features));
        arguments = fbJoined(arguments, fbPair("max_depth", v_max_depth));
        arguments = fbJoined(arguments, fbPair("balance", v_balance));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("page", v_page));
        arguments = fbJoined(arguments, fbPair("save_data", v_save_data));
        arguments = fbJoined(arguments, fbPair("importance", v_importance));
        arguments = fbJoined(arguments, fbPair("weights", v_weights));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("heap", v_heap));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
    arguments = fbJoined(arguments, fbPair("labels", fbLabels(fbLastValue(given, "labels", fbDefaultLabels()), id)));
}
result = fbCall("train", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
