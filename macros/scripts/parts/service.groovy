// Shared by the scripts: how they refuse, and how they call Python. "fijibridge install" puts the files of this folder in
// front of each script, in the order of their names; so this one holds the imports of all.
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.Macro
import ij.Prefs
import ij.WindowManager
import ij.gui.GenericDialog
import ij.gui.Roi
import ij.io.FileSaver
import ij.io.RoiDecoder
import ij.io.RoiEncoder
import ij.io.SaveDialog
import ij.plugin.frame.Recorder
import ij.plugin.frame.RoiManager
import ij.process.ByteProcessor
import ij.process.ColorProcessor
import java.awt.BorderLayout
import java.awt.Container
import java.awt.GraphicsEnvironment
import java.awt.GridBagConstraints
import java.awt.event.ActionListener
import java.lang.management.ManagementFactory
import java.nio.file.Files
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import java.util.zip.ZipOutputStream
import javax.swing.JButton
import javax.swing.JComboBox
import javax.swing.JFrame
import javax.swing.JLabel
import javax.swing.JProgressBar

/** Why a command does not do what it was asked: what was found, what was expected, and what helps. */
class Refusal extends RuntimeException {
    Refusal(Object found, Object expected, Object remedy) {
        super("${found}\n  expected: ${expected}\n  remedy: ${remedy}".toString())
    }

    Refusal(String text) { super(text) }
}

/** Runs a command; a refusal is shown, and stops the macro that called the command. */
class Command {
    static void of(Closure body) {
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

    private static void refuse(String text) {
        IJ.showStatus("")
        try {
            IJ.error("FijiBridge", text)
        } catch (RuntimeException stopped) { // the macro is stopped already; Fiji would show where this came from
            if (stopped.message != Macro.MACRO_CANCELED)
                throw stopped
        }
    }
}

void command(Closure body) { Command.of(body) }

/** The operations of Python, through the macro library that "fijibridge install" wrote beside the scripts. */
class Service {
    private static String getLibrary() {
        def library = new File(IJ.getDirectory("macros") ?: "", "FijiBridge.ijm")
        if (!library.isFile())
            throw new Refusal("no ${library}", "the macro library that calls Python", "run fijibridge install with this Fiji's folder")
        return library.getText("ISO-8859-1")
    }

    /** The command that runs fijibridge in a process of its own. */
    static List<String> command(List<String> arguments) {
        def (python, starter) = IJ.runMacro("return \"\" + fbPython() + \"\\n\" + fbStarter();\n" + library).split("\n")
        if (!new File(python).isFile())
            throw new Refusal("no ${python}", "the Python that has fijibridge", "run fijibridge install again, from the Python that" +
                " has it now")
        return [python, "-c", starter] + arguments
    }

    /** Calls a function of the library with texts, none of them empty: its result, lines of key=value. */
    static String call(String function, String... values) {
        if (values.any { it.contains("\n") || it.contains("\r") })
            throw new Refusal("a line break in a file's name or an option", "names of one line", "rename the file")
        def names = (0..<values.length).collect { "value" + it }
        def taken = names.withIndex().collect { name, k -> "${name} = lines[${k}];\n" }.join()
        def code = "lines = split(getArgument(), \"\\n\");\n${taken}return \"\" + ${function}(${names.join(', ')});\n"
        def answer = IJ.runMacro(code + library, values.join("\n"))
        if (answer == null || answer == "[aborted]")
            throw new Refusal("the call of ${function} was stopped", "an answer of fijibridge", "run the command again")
        if (answer.startsWith("error"))
            throw new Refusal(answer.replaceFirst(/^error\s*/, ""))
        return answer
    }

    /** A value in options, which may hold spaces. */
    static String option(String key, Object value) {
        if (value.toString().contains("]"))
            throw new Refusal("${key} ${value}", "a value without ]", "rename the file or folder, or give it by another path")
        return "${key}=[${value}]"
    }
}

/** How features are made: features.json or classifier.json, and what was learned, features.safetensors beside it. */
class FeatureFile {
    static final String INDEX = "features.json", ARRAYS = "features.safetensors"
    final String text
    final byte[] arrays // null where nothing was learned

    FeatureFile(String text, byte[] arrays) {
        this.text = text
        this.arrays = arrays
    }

    /** Of a file, or of a folder that holds it. */
    static FeatureFile of(String path) {
        def file = [new File(path, INDEX), new File(path, "classifier.json"), new File(path)].find { it.isFile() }
        if (file == null || !file.name.endsWith(".json"))
            throw new Refusal("${path} does not tell how features are made", "the folder of a saved classifier, or ${INDEX}",
                "give the folder classifier in a result of segment or Forest to Python")
        def beside = new File(file.absoluteFile.parentFile, ARRAYS)
        return new FeatureFile(file.getText("UTF-8"), beside.isFile() ? beside.bytes : null)
    }

    /** Writes both files, as Python wrote them, into a folder: the first of them. */
    File write(File folder) {
        def file = new File(folder, INDEX)
        file.setText(text, "UTF-8")
        if (arrays != null)
            new File(folder, ARRAYS).bytes = arrays
        return file
    }

    /** A number of the settings, the first of this name, such as min_sigma of TWS's filters; null where none has it. */
    BigDecimal number(String key) {
        def found = text =~ /"${key}"\s*:\s*([0-9.]+)/
        return found.find() ? found.group(1) as BigDecimal : null
    }

    /** The features' names, in their order. */
    List<String> names() {
        def found = text =~ /"feature_names"\s*:\s*\[([^\]]*)\]/
        return found.find() ? found.group(1).findAll(/"([^"]+)"/) { it[1] } : []
    }
}
