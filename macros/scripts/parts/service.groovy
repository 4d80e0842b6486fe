// Shared by the scripts: how they refuse, and how they call Python. "fijibridge install" puts the files of this folder in
// front of each script, in the order of their names; so this one holds the imports of all.
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.Macro
import ij.WindowManager
import ij.gui.GenericDialog
import ij.gui.Roi
import ij.io.FileSaver
import ij.io.RoiDecoder
import ij.io.RoiEncoder
import ij.plugin.frame.RoiManager
import ij.process.ByteProcessor
import ij.process.ColorProcessor
import java.awt.Container
import java.awt.event.ActionListener
import java.lang.management.ManagementFactory
import java.nio.file.Files
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream
import javax.swing.JButton

/** Why a command does not do what it was asked: what was found, what was expected, and what helps. */
class Refusal extends RuntimeException {
    Refusal(Object found, Object expected, Object remedy) {
        super("${found}\n  expected: ${expected}\n  remedy: ${remedy}".toString())
    }

    Refusal(String text) { super(text) }
}

/** Runs a command; a refusal is shown, and stops the macro that called the command. */
void command(Closure body) {
    try {
        body()
    } catch (Refusal refusal) {
        refuse(refusal.message)
    } catch (OutOfMemoryError full) {
        refuse("Java's memory is full\n  expected: room for the features\n  remedy: fewer channels, or more memory (Edit >" +
            " Options > Memory & Threads)")
    } finally {
        IJ.showProgress(1.0)
    }
}

void refuse(String text) {
    IJ.showStatus("")
    try {
        IJ.error("FijiBridge", text)
    } catch (RuntimeException stopped) { // the macro is stopped already; Fiji would show where this came from
        if (stopped.message != Macro.MACRO_CANCELED)
            throw stopped
    }
}

/** The operations of Python, through the macro library that "fijibridge install" wrote beside the scripts. */
class Service {
    /** Calls a function of the library with texts, none of them empty: its result, lines of key=value. */
    static String call(String function, String... values) {
        def library = new File(IJ.getDirectory("macros") ?: "", "FijiBridge.ijm")
        if (!library.isFile())
            throw new Refusal("no ${library}", "the macro library that calls Python", "run fijibridge install with this Fiji's folder")
        def names = (0..<values.length).collect { "value" + it }
        def taken = names.withIndex().collect { name, k -> "${name} = lines[${k}];\n" }.join()
        def code = "lines = split(getArgument(), \"\\n\");\n${taken}return \"\" + ${function}(${names.join(', ')});\n"
        def answer = IJ.runMacro(code + library.getText("ISO-8859-1"), values.join("\n"))
        if (answer == null || answer == "[aborted]")
            throw new Refusal("the call of ${function} was stopped", "an answer of fijibridge", "run the command again")
        if (answer.startsWith("error"))
            throw new Refusal(answer.replaceFirst(/^error\s*/, ""))
        return answer
    }

    /** A value in options, which may hold spaces. */
    static String option(String key, Object value) { "${key}=[${value}]" }
}

/** How features are made: the text of recipe.json or classifier.json, from which a few settings are read. */
class Recipe {
    final String text

    Recipe(String text) { this.text = text }

    /** Of a file, or of a folder that holds it. */
    static Recipe of(String path) {
        def file = [new File(path, "recipe.json"), new File(path, "classifier.json"), new File(path)].find { it.isFile() }
        if (file == null || !file.name.endsWith(".json"))
            throw new Refusal("${path} does not tell how features are made", "the folder of a saved classifier, or recipe.json",
                "give the folder classifier in a result of segment or Forest to Python")
        return new Recipe(file.getText("UTF-8"))
    }

    private String setting(String key, String otherwise) {
        def found = (text =~ /"${key}"\s*:\s*(?:"([^"]*)"|\[([^\]]*)\]|([^\s,}]+))/)
        return found.find() ? (found.group(1) ?: found.group(2) ?: found.group(3) ?: "") : otherwise
    }

    /** The features' names, which a recipe.json lists. */
    List<String> names() { setting("feature_names", "").findAll(/"([^"]+)"/) { it[1] } }

    /** Whether its channels are components learnt from an image: then equal names do not mean equal features. */
    boolean hasBasis() { setting("basis", "") != "" }

    /** How many detectors' images it is made of. */
    int detectorCount() {
        def further = setting("detectors", "")
        return further == "" ? 1 : 1 + further.split(",").size()
    }

    /** How many ViT features it makes; the default ViT has 384 channels a block. */
    int vitCount() {
        def classes = setting("readout_classes", "")  // a linear model has made one channel a class of them
        if (classes != "")
            return classes.split(",").size()
        int channels = setting("channels", "0") as int
        return setting("encoder", "") == "none" ? 0 : detectorCount() * (channels ?: 384 * setting("blocks", "6").split(",").size())
    }

    /** How many features it makes, with TWS's own 76 of each detector. */
    int count() { vitCount() + (setting("classical", "tws") == "none" ? 0 : 76 * detectorCount()) }
}
