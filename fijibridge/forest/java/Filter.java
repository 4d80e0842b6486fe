package fijibridge;

/**
 * What a stream may hold, and how much of it. The limits come from the size of the file: every object, reference and
 * array element takes at least a byte of it.
 */
public class Filter implements java.io.ObjectInputFilter {
    private java.util.HashSet names;
    private long size;
    private int collections;
    private int most;
    public String refused;

    public Filter(String[] allowed, long size, int collections) {
        this.names = new java.util.HashSet();
        for (int i = 0; i < allowed.length; i++) { this.names.add(allowed[i]); }
        this.size = size;
        this.collections = 0;
        this.most = collections;
        this.refused = null;
    }

    public java.io.ObjectInputFilter.Status checkInput(java.io.ObjectInputFilter.FilterInfo info) {
        if (info.references() > this.size || info.streamBytes() > this.size || info.depth() > this.size
                || info.arrayLength() > this.size) {
            this.refused = "more objects or a larger array than the file has room for";
            return java.io.ObjectInputFilter.Status.REJECTED;
        }
        Class type = info.serialClass();
        if (type == null) { return java.io.ObjectInputFilter.Status.UNDECIDED; }
        // Nested hash tables of lists take time that doubles with each level. A forest and its header need about ten
        // collections; of other classifiers the Reader looks at each.
        if (info.arrayLength() >= 0 && (type.getName().equals("[Ljava.lang.Object;")
                || type.getName().equals("[Ljava.util.Map$Entry;"))) {
            this.collections = this.collections + 1;
            if (this.collections > this.most) {
                this.refused = "more nested lists and tables than a classifier has";
                return java.io.ObjectInputFilter.Status.REJECTED;
            }
        }
        while (type.isArray()) { type = type.getComponentType(); }
        if (type.isPrimitive() || this.names.contains(type.getName())) {
            return java.io.ObjectInputFilter.Status.ALLOWED;
        }
        this.refused = "the Java class " + type.getName();
        return java.io.ObjectInputFilter.Status.REJECTED;
    }
}
