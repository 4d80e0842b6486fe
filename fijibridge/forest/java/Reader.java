package fijibridge;

/**
 * Reads the objects of a classifier one by one: what may be read is the Filter's business, what becomes of it this one's.
 *
 * A hash table calls hashCode of its keys while it is read, and a list asks all that it holds: lists and tables that
 * hold one another several times over take time that doubles with each level. So the objects that a collection would
 * ask are counted, and there may be no more of them than the file has bytes. Names of files that a classifier carries
 * lead nowhere.
 */
public class Reader extends java.io.ObjectInputStream {
    private java.util.IdentityHashMap sizes;
    private long most;
    private fijibridge.Filter filter;
    private java.util.ArrayList distances;

    public Reader(java.io.InputStream file, fijibridge.Filter filter, long most) throws java.io.IOException {
        super(file);
        this.sizes = new java.util.IdentityHashMap();
        this.most = most;
        this.filter = filter;
        this.distances = new java.util.ArrayList();
        setObjectInputFilter(filter);
        enableResolveObject(true);
    }

    // The ranges of features that distances scale by, in turn as they are held and as a copy.
    public Object[] ranges() {
        java.util.ArrayList found = new java.util.ArrayList();
        for (int i = 0; i < this.distances.size(); i++) {
            double[][] held = null;
            try {
                held = ((weka.core.NormalizableDistance) this.distances.get(i)).getRanges();
            } catch (Exception e) {
                continue;  // one without training samples
            }
            double[][] copy = new double[held.length][];
            for (int k = 0; k < held.length; k++) { copy[k] = (double[]) held[k].clone(); }
            found.add(held);
            found.add(copy);
        }
        return found.toArray();
    }

    private long asked(java.util.Collection held) {
        long sum = 0L;
        java.util.Iterator each = held.iterator();
        while (each.hasNext()) {
            Object known = this.sizes.get(each.next());
            sum = sum + 1L + (known == null ? 0L : ((Long) known).longValue());
        }
        return sum;
    }

    protected Object resolveObject(Object found) throws java.io.IOException {
        if (found instanceof weka.core.NormalizableDistance) { this.distances.add(found); }
        if (found instanceof java.io.File) { return new java.io.File(""); }
        if (found instanceof weka.classifiers.meta.Vote) {
            // Paths of classifiers that it would read when trained again; it holds those that it has read itself.
            try {
                java.lang.reflect.Field paths = weka.classifiers.meta.Vote.class.getDeclaredField("m_classifiersToLoad");
                paths.setAccessible(true);
                paths.set(found, new java.util.ArrayList());
            } catch (Exception e) {
                throw new java.io.InvalidObjectException("a Vote of another version of Weka");
            }
        }
        if (found instanceof weka.core.Instances) { return found; }
        long sum = -1L;
        if (found instanceof java.util.Collection) { sum = asked((java.util.Collection) found); }
        if (found instanceof java.util.Map) {
            sum = asked(((java.util.Map) found).keySet()) + asked(((java.util.Map) found).values());
        }
        if (sum > this.most) {
            this.filter.refused = "more nested lists and tables than a classifier has";
            throw new java.io.InvalidObjectException("nested collections");
        }
        if (sum >= 0L) { this.sizes.put(found, new Long(sum)); }
        return found;
    }
}
