// Shared by the scripts for the TWS window: its traces as ROIs.

/** The window's traces, and ROI sets of them. */
class Traces {
    /** Copies of all traces, class by class: named CLASS-n, their group is the class's number, their position the slice. */
    static List<Roi> of(WekaWindow window) {
        def found = []
        window.classNames.eachWithIndex { name, k ->
            int n = 0
            (1..window.slices).each { slice ->
                window.segmentation.getExamples(k, slice).each { trace ->
                    def roi = trace.clone() as Roi
                    roi.name = "${name}-${++n}"
                    roi.group = k + 1
                    roi.position = slice
                    found << roi
                }
            }
        }
        return found
    }

    static void write(String path, List<Roi> rois) {
        try {
            new ZipOutputStream(new FileOutputStream(path)).withCloseable { zip ->
                rois.eachWithIndex { roi, k -> // numbers, since two classes may be called alike but for letters no file has
                    zip.putNextEntry(new ZipEntry(String.format("%04d-%s.roi", k + 1, roi.name.replaceAll(/[^\w.-]/, "_"))))
                    zip.write(RoiEncoder.saveAsByteArray(roi))
                    zip.closeEntry()
                }
            }
        } catch (IOException failed) {
            throw new Refusal("${path} cannot be written (${failed.message})", "a folder that may be changed", "check the path")
        }
    }
}
