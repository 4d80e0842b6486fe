package fijibridge;

/** Classifiers of Weka, read from memory and run on rows of features; javassist compiles this: see Forests. */
public class Classifiers {
    public static Object read(byte[] stream, fijibridge.Filter filter) throws Exception {
        Object[] found = new Object[3];
        fijibridge.Reader reader = new fijibridge.Reader(
            (java.io.InputStream) new java.io.ByteArrayInputStream(stream), filter, (long) stream.length);
        found[0] = reader.readObject();
        found[1] = reader.readObject();
        found[2] = reader.ranges();
        return found;
    }

    // Nearest neighbours widen the ranges that they scale features by with each sample that they are asked for: what is
    // answered would depend on what was asked before. So they have those of the training again for each sample.
    static void restore(Object[] ranges) {
        for (int i = 0; i < ranges.length; i = i + 2) {
            double[][] held = (double[][]) ranges[i];
            double[][] copy = (double[][]) ranges[i + 1];
            for (int k = 0; k < held.length; k++) { System.arraycopy(copy[k], 0, held[k], 0, copy[k].length); }
        }
    }

    // A row's class is the first one, as in TWS: no classifier is to look at it. places: the column of each attribute.
    public static void predict(weka.classifiers.Classifier classifier, weka.core.Instances header, Object[] ranges,
            int[] places, java.nio.DoubleBuffer X, java.nio.DoubleBuffer out, int rows) throws Exception {
        int n = places.length;
        int last = header.classIndex();
        double[] given = new double[n];
        for (int r = 0; r < rows; r++) {
            if (Thread.interrupted()) { throw new InterruptedException("stopped"); }
            X.get(given, 0, n);
            double[] row = new double[n + 1];
            for (int i = 0; i < n; i++) { row[i < last ? i : i + 1] = given[places[i]]; }
            weka.core.DenseInstance sample = new weka.core.DenseInstance(1.0, row);
            sample.setDataset(header);
            restore(ranges);
            double[] p = classifier.distributionForInstance((weka.core.Instance) sample);
            if (p.length != header.numClasses()) {
                throw new IllegalArgumentException(p.length + " probabilities for " + header.numClasses() + " classes");
            }
            out.put(p);
        }
    }
}
