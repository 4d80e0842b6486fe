package fijibridge;

/**
 * Forests in Java: what would be too slow call by call from Python.
 *
 * javassist compiles this, method after method, so that a method stands below those that it calls. Its compiler knows
 * Java 1.4: no generics, no autoboxing, no varargs, no inner classes, no imports. The fields of FastRandomForest are
 * protected and its trees package-private, so they are read and set by reflection, by the names that its serialized
 * form fixes.
 */
public class Forests {
    static java.lang.reflect.Field field(Class type, String name) throws Exception {
        while (type != null) {
            java.lang.reflect.Field[] all = type.getDeclaredFields();
            for (int i = 0; i < all.length; i++) {
                if (all[i].getName().equals(name)) {
                    all[i].setAccessible(true);
                    return all[i];
                }
            }
            type = type.getSuperclass();
        }
        throw new IllegalArgumentException("no field " + name);
    }

    static Class treeClass() throws Exception {
        return Class.forName("hr.irb.fastRandomForest.FastRandomTree", true,
            hr.irb.fastRandomForest.FastRandomForest.class.getClassLoader());
    }

    public static Object get(Object target, String name) throws Exception {
        return field(target.getClass(), name).get(target);
    }

    static Object[] trees(Object forest) throws Exception {
        Object bagger = get(forest, "m_bagger");
        if (bagger == null) { throw new IllegalArgumentException("a forest without trees (it was never trained)"); }
        Object[] trees = (Object[]) get(bagger, "m_Classifiers");
        if (trees == null || trees.length == 0) { throw new IllegalArgumentException("a forest without trees"); }
        return trees;
    }

    // How many nodes and trees; more nodes than the limit mean shared branches, which would be unfolded without end.
    public static int[] count(Object forest, long limit) throws Exception {
        java.lang.reflect.Field successors = field(treeClass(), "m_Successors");
        java.lang.reflect.Field attribute = field(treeClass(), "m_Attribute");
        Object[] trees = trees(forest);
        Object[] stack = new Object[1024];
        long nodes = 0L;
        for (int t = 0; t < trees.length; t++) {
            int depth = 0;
            stack[depth++] = trees[t];
            while (depth > 0) {
                Object node = stack[--depth];
                if (node == null) { throw new IllegalArgumentException("a tree with a branch missing"); }
                nodes = nodes + 1L;
                if (nodes > limit || nodes > 2147483646L) {
                    throw new IllegalArgumentException("trees that share branches");
                }
                if (attribute.getInt(node) < 0) { continue; }
                Object[] branches = (Object[]) successors.get(node);
                if (branches == null || branches.length != 2) {
                    throw new IllegalArgumentException("a split that has not two branches");
                }
                if (depth + 2 > stack.length) {
                    Object[] larger = new Object[2 * stack.length];
                    System.arraycopy(stack, 0, larger, 0, depth);
                    stack = larger;
                }
                stack[depth++] = branches[0];
                stack[depth++] = branches[1];
            }
        }
        return new int[] {(int) nodes, trees.length};
    }

    // Depth first, left before right. An entry of the stack: a node, and its parent (+ 1; negative: a right child).
    public static void flatten(Object forest, int nClasses, java.nio.IntBuffer feature, java.nio.DoubleBuffer threshold,
            java.nio.IntBuffer left, java.nio.IntBuffer right, java.nio.DoubleBuffer value,
            java.nio.DoubleBuffer leftFraction, java.nio.LongBuffer roots) throws Exception {
        Class type = treeClass();
        java.lang.reflect.Field successors = field(type, "m_Successors");
        java.lang.reflect.Field attribute = field(type, "m_Attribute");
        java.lang.reflect.Field split = field(type, "m_SplitPoint");
        java.lang.reflect.Field shares = field(type, "m_Prop");
        java.lang.reflect.Field classes = field(type, "m_ClassProbs");
        Object[] trees = trees(forest);
        Object[] stack = new Object[1024];
        int[] parents = new int[1024];
        int next = 0;
        for (int t = 0; t < trees.length; t++) {
            int depth = 0;
            roots.put(t, (long) next);
            stack[0] = trees[t];
            parents[0] = 0;
            depth = 1;
            while (depth > 0) {
                depth = depth - 1;
                Object node = stack[depth];
                int parent = parents[depth];
                int index = next;
                next = next + 1;
                if (parent > 0) { left.put(parent - 1, index); }
                if (parent < 0) { right.put(-parent - 1, index); }
                int splitsOn = attribute.getInt(node);
                if (splitsOn < 0) {
                    feature.put(index, -1);
                    left.put(index, -1);
                    right.put(index, -1);
                    double[] p = (double[]) classes.get(node);
                    if (p != null && p.length != nClasses) {
                        throw new IllegalArgumentException("a leaf with " + p.length + " classes");
                    }
                    for (int c = 0; p != null && c < nClasses; c++) { value.put(index * nClasses + c, p[c]); }
                    continue;
                }
                feature.put(index, splitsOn);
                threshold.put(index, split.getDouble(node));
                double[] prop = (double[]) shares.get(node);
                if (prop == null || prop.length != 2) {
                    throw new IllegalArgumentException("a split without the shares of its branches");
                }
                leftFraction.put(index, prop[0]);
                Object[] branches = (Object[]) successors.get(node);
                if (depth + 2 > stack.length) {
                    Object[] larger = new Object[2 * stack.length];
                    System.arraycopy(stack, 0, larger, 0, depth);
                    stack = larger;
                    int[] moreParents = new int[larger.length];
                    System.arraycopy(parents, 0, moreParents, 0, depth);
                    parents = moreParents;
                }
                stack[depth] = branches[1];
                parents[depth] = -(index + 1);
                stack[depth + 1] = branches[0];
                parents[depth + 1] = index + 1;
                depth = depth + 2;
            }
        }
    }

    public static weka.core.Instances header(String relation, String[] features, String[] classes, int capacity)
            throws Exception {
        java.util.ArrayList attributes = new java.util.ArrayList();
        for (int i = 0; i < features.length; i++) { attributes.add(new weka.core.Attribute(features[i])); }
        java.util.ArrayList names = new java.util.ArrayList();
        for (int i = 0; i < classes.length; i++) { names.add(classes[i]); }
        attributes.add(new weka.core.Attribute("class", (java.util.List) names));
        weka.core.Instances result = new weka.core.Instances(relation, attributes, capacity);
        result.setClassIndex(features.length);
        return result;
    }

    static void set(Object target, String name, Object value) throws Exception {
        field(target.getClass(), name).set(target, value);
    }

    public static Object build(weka.core.Instances header, java.nio.IntBuffer feature, java.nio.DoubleBuffer threshold,
            java.nio.IntBuffer left, java.nio.IntBuffer right, java.nio.DoubleBuffer value,
            java.nio.DoubleBuffer leftFraction, java.nio.LongBuffer roots, int[] settings, double oobError)
            throws Exception {
        Class type = treeClass();
        java.lang.reflect.Constructor make = type.getDeclaredConstructor(new Class[0]);
        make.setAccessible(true);
        java.lang.reflect.Field successors = field(type, "m_Successors");
        java.lang.reflect.Field attribute = field(type, "m_Attribute");
        java.lang.reflect.Field split = field(type, "m_SplitPoint");
        java.lang.reflect.Field shares = field(type, "m_Prop");
        java.lang.reflect.Field classes = field(type, "m_ClassProbs");
        java.lang.reflect.Field mother = field(type, "m_MotherForest");
        hr.irb.fastRandomForest.FastRandomForest forest = new hr.irb.fastRandomForest.FastRandomForest();
        int nClasses = header.numClasses();
        int n = feature.capacity();
        Object[] nodes = new Object[n];
        Object[] none = new Object[0];
        for (int i = 0; i < n; i++) {
            nodes[i] = make.newInstance(none);
            mother.set(nodes[i], forest);
        }
        for (int i = 0; i < n; i++) {
            Object node = nodes[i];
            if (feature.get(i) < 0) {
                double[] p = new double[nClasses];
                for (int c = 0; c < nClasses; c++) { p[c] = value.get(i * nClasses + c); }
                classes.set(node, p);
            } else {
                attribute.setInt(node, feature.get(i));
                split.setDouble(node, threshold.get(i));
                double[] prop = new double[2];
                prop[0] = leftFraction.get(i);
                prop[1] = 1.0 - prop[0];
                shares.set(node, prop);
                Object[] branches = (Object[]) java.lang.reflect.Array.newInstance(type, 2);
                branches[0] = nodes[left.get(i)];
                branches[1] = nodes[right.get(i)];
                successors.set(node, branches);
            }
        }
        weka.classifiers.Classifier[] trees = new weka.classifiers.Classifier[roots.capacity()];
        for (int t = 0; t < trees.length; t++) {
            trees[t] = (weka.classifiers.Classifier) nodes[(int) roots.get(t)];
        }
        forest.setNumTrees(trees.length);
        forest.setSeed(settings[0]);
        forest.setNumFeatures(settings[1]);
        forest.setMaxDepth(settings[2]);
        field(forest.getClass(), "m_KValue").setInt(forest, settings[3]);
        set(forest, "m_Info", header);
        java.lang.reflect.Field bagging = field(forest.getClass(), "m_bagger");
        java.lang.reflect.Constructor makeBagger = bagging.getType().getDeclaredConstructor(new Class[0]);
        makeBagger.setAccessible(true);
        Object bagger = makeBagger.newInstance(none);
        Object prototype = make.newInstance(none);
        mother.set(prototype, forest);
        set(bagger, "m_Classifier", prototype);
        set(bagger, "m_Classifiers", trees);
        field(bagger.getClass(), "m_NumIterations").setInt(bagger, trees.length);
        field(bagger.getClass(), "m_Seed").setInt(bagger, settings[0]);
        field(bagger.getClass(), "m_OutOfBagError").setDouble(bagger, oobError);
        field(bagger.getClass(), "m_CalcOutOfBag").setBoolean(bagger, true);
        field(bagger.getClass(), "m_computeImportances").setBoolean(bagger, false);
        bagging.set(forest, bagger);
        return forest;
    }

    public static void add(weka.core.Instances data, java.nio.DoubleBuffer X, java.nio.IntBuffer y, int rows,
            int features) throws Exception {
        for (int r = 0; r < rows; r++) {
            double[] row = new double[features + 1];
            X.get(row, 0, features);
            row[features] = (double) y.get(r);
            data.add((weka.core.Instance) new weka.core.DenseInstance(1.0, row));
        }
    }

    public static void train(hr.irb.fastRandomForest.FastRandomForest forest, weka.core.Instances data)
            throws Exception {
        forest.buildClassifier(data);
    }

    // Which samples each tree of a forest saw: FastRandomForest's own resampling from the same seed. What it draws
    // depends on the number of samples alone.
    public static void bags(int samples, int trees, int seed, java.nio.ByteBuffer seen) throws Exception {
        weka.core.Instances data = header("bags", new String[] {"x"}, new String[] {"a", "b"}, samples);
        for (int i = 0; i < samples; i++) {
            data.add((weka.core.Instance) new weka.core.DenseInstance(1.0, new double[2]));
        }
        Class type = Class.forName("hr.irb.fastRandomForest.DataCache", true,
            hr.irb.fastRandomForest.FastRandomForest.class.getClassLoader());
        java.lang.reflect.Constructor make = type.getDeclaredConstructor(new Class[] {weka.core.Instances.class});
        make.setAccessible(true);
        java.lang.reflect.Method resample = type.getDeclaredMethod("resample",
            new Class[] {Integer.TYPE, java.util.Random.class});
        resample.setAccessible(true);
        Object whole = make.newInstance(new Object[] {data});
        java.util.Random random = new java.util.Random((long) seed);
        Object[] arguments = new Object[] {new Integer(samples), random};
        for (int t = 0; t < trees; t++) {
            boolean[] bag = (boolean[]) get(resample.invoke(whole, arguments), "inBag");
            random.nextInt();
            for (int i = 0; i < samples; i++) { if (bag[i]) { seen.put(t * samples + i, (byte) 1); } }
        }
    }

    public static void predict(weka.classifiers.Classifier forest, weka.core.Instances header, java.nio.DoubleBuffer X,
            java.nio.DoubleBuffer out, int rows, int features) throws Exception {
        for (int r = 0; r < rows; r++) {
            double[] row = new double[features + 1];
            X.get(row, 0, features);
            row[features] = Double.NaN;
            weka.core.DenseInstance sample = new weka.core.DenseInstance(1.0, row);
            sample.setDataset(header);
            out.put(forest.distributionForInstance((weka.core.Instance) sample));
        }
    }

    public static Object read(String path, boolean zip, fijibridge.Filter filter, long size) throws Exception {
        java.io.InputStream file = new java.io.BufferedInputStream(new java.io.FileInputStream(path), 1048576);
        Object[] found = new Object[2];
        try {
            if (zip) { file = new java.io.BufferedInputStream(new java.util.zip.GZIPInputStream(file, 65536), 1048576); }
            fijibridge.Reader stream = new fijibridge.Reader(file, filter, size);
            found[0] = stream.readObject();
            found[1] = stream.readObject();
        } catch (Throwable e) {
            file.close();
            if (found[0] != null && e instanceof java.io.EOFException) { return found; }
            throw e;
        }
        file.close();
        return found;
    }
}
