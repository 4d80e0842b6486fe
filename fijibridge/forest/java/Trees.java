package fijibridge;

/**
 * Trees of Weka itself as flat arrays: RandomTree, REPTree and J48, and what averages them one by one.
 *
 * javassist compiles this: see Forests. What the arrays cannot say is an IllegalArgumentException: empty branches, splits
 * of more than two branches, leaves that are more than a distribution.
 */
public class Trees {
    static boolean named(Object found, String name) { return found != null && found.getClass().getName().equals(name); }

    static Object rootOf(Object tree) throws Exception {
        if (named(tree, "weka.classifiers.trees.J48")) { return fijibridge.Forests.get(tree, "m_root"); }
        if (named(tree, "weka.classifiers.trees.RandomTree") || named(tree, "weka.classifiers.trees.REPTree")) {
            if (fijibridge.Forests.get(tree, "m_zeroR") == null) { return fijibridge.Forests.get(tree, "m_Tree"); }
        }
        return null;
    }

    // The root of one tree, or those of all trees of a bag; null for any other classifier.
    public static Object[] roots(Object classifier) throws Exception {
        if (named(classifier, "weka.classifiers.trees.RandomForest") || named(classifier, "weka.classifiers.meta.Bagging")
                || named(classifier, "weka.classifiers.meta.RandomCommittee")) {
            Object[] trees = (Object[]) fijibridge.Forests.get(classifier, "m_Classifiers");
            int asked = ((Integer) fijibridge.Forests.get(classifier, "m_NumIterations")).intValue();
            if (trees == null || trees.length == 0 || trees.length != asked) { return null; }
            Object[] found = new Object[trees.length];
            for (int t = 0; t < trees.length; t++) {
                found[t] = rootOf(trees[t]);
                if (found[t] == null) { return null; }
            }
            return found;
        }
        Object root = rootOf(classifier);
        if (root == null) { return null; }
        return new Object[] {root};
    }

    // What is read of a node, by its kind: attribute, split point, branches, shares of the branches, distribution.
    static java.lang.reflect.Field[] fields(Object node) throws Exception {
        boolean pruned = node instanceof weka.classifiers.trees.j48.ClassifierTree;
        String[] names = new String[] {"m_Attribute", "m_SplitPoint", "m_Successors", "m_Prop",
            named(node, "weka.classifiers.trees.REPTree$Tree") ? "m_ClassProbs" : "m_ClassDistribution"};
        if (pruned) { names = new String[] {"m_isLeaf", "m_isEmpty", "m_sons", "m_localModel"}; }
        java.lang.reflect.Field[] found = new java.lang.reflect.Field[names.length];
        for (int i = 0; i < names.length; i++) { found[i] = fijibridge.Forests.field(node.getClass(), names[i]); }
        return found;
    }

    static Object[] branches(Object node, java.lang.reflect.Field[] fields) throws Exception {
        boolean pruned = fields.length == 4;
        if (node == null) { throw new IllegalArgumentException("a tree with a branch missing"); }
        if (pruned && fields[0].getBoolean(node)) { return null; }
        if (!pruned && fields[0].getInt(node) < 0) { return null; }
        Object[] found = (Object[]) fields[2].get(node);
        if (found == null || found.length != 2) { throw new IllegalArgumentException("a split that has not two branches"); }
        return found;
    }

    // How many nodes; more than the limit mean shared branches, which would be unfolded without end.
    public static int count(Object[] roots, long limit) throws Exception {
        Object[] stack = new Object[1024];
        long nodes = 0L;
        for (int t = 0; t < roots.length; t++) {
            java.lang.reflect.Field[] fields = fields(roots[t]);
            int depth = 0;
            stack[depth++] = roots[t];
            while (depth > 0) {
                Object[] next = branches(stack[--depth], fields);
                nodes = nodes + 1L;
                if (nodes > limit || nodes > 2147483646L) {
                    throw new IllegalArgumentException("trees that share branches");
                }
                if (next == null) { continue; }
                if (depth + 2 > stack.length) {
                    Object[] larger = new Object[2 * stack.length];
                    System.arraycopy(stack, 0, larger, 0, depth);
                    stack = larger;
                }
                stack[depth++] = next[1];
                stack[depth++] = next[0];
            }
        }
        return (int) nodes;
    }

    static double[] leaf(Object node, java.lang.reflect.Field[] fields, int nClasses, boolean laplace) throws Exception {
        double[] p = new double[nClasses];
        if (fields.length == 4) {
            if (fields[1].getBoolean(node) || !named(fields[3].get(node), "weka.classifiers.trees.j48.NoSplit")) {
                throw new IllegalArgumentException("an empty leaf");
            }
            weka.classifiers.trees.j48.ClassifierSplitModel model =
                (weka.classifiers.trees.j48.ClassifierSplitModel) fields[3].get(node);
            for (int c = 0; c < nClasses; c++) {
                p[c] = laplace ? model.classProbLaplace(c, (weka.core.Instance) null, -1)
                    : model.classProb(c, (weka.core.Instance) null, -1);
            }
            return p;
        }
        double[] held = (double[]) fields[4].get(node);
        if (held == null || held.length != nClasses) { throw new IllegalArgumentException("an empty leaf"); }
        System.arraycopy(held, 0, p, 0, nClasses);
        if (named(node, "weka.classifiers.trees.RandomTree$Tree")) { weka.core.Utils.normalize(p); }
        return p;
    }

    // Depth first, left before right. An entry of the stack: a node, and its parent (+ 1; negative: a right child).
    public static void flatten(Object[] roots, boolean[] laplace, weka.core.Instance missing, int nClasses,
            java.nio.IntBuffer feature, java.nio.DoubleBuffer threshold, java.nio.IntBuffer left,
            java.nio.IntBuffer right, java.nio.DoubleBuffer value, java.nio.DoubleBuffer leftFraction,
            java.nio.LongBuffer first) throws Exception {
        Object[] stack = new Object[1024];
        int[] parents = new int[1024];
        int next = 0;
        for (int t = 0; t < roots.length; t++) {
            java.lang.reflect.Field[] fields = fields(roots[t]);
            first.put(t, (long) next);
            stack[0] = roots[t];
            parents[0] = 0;
            int depth = 1;
            while (depth > 0) {
                depth = depth - 1;
                Object node = stack[depth];
                int parent = parents[depth];
                int index = next;
                next = next + 1;
                if (parent > 0) { left.put(parent - 1, index); }
                if (parent < 0) { right.put(-parent - 1, index); }
                Object[] branches = branches(node, fields);
                if (branches == null) {
                    feature.put(index, -1);
                    left.put(index, -1);
                    right.put(index, -1);
                    double[] p = leaf(node, fields, nClasses, laplace[t]);
                    for (int c = 0; c < nClasses; c++) { value.put(index * nClasses + c, p[c]); }
                    continue;
                }
                double[] shares = null;
                if (fields.length == 4) {
                    Object model = fields[3].get(node);
                    if (!named(model, "weka.classifiers.trees.j48.C45Split")
                            && !named(model, "weka.classifiers.trees.j48.BinC45Split")) {
                        throw new IllegalArgumentException("another split");
                    }
                    shares = ((weka.classifiers.trees.j48.ClassifierSplitModel) model).weights(missing);
                    feature.put(index, fijibridge.Forests.field(model.getClass(), "m_attIndex").getInt(model));
                    // what equals a split point goes left here: the next larger number is the same in terms of "less"
                    double split = fijibridge.Forests.field(model.getClass(), "m_splitPoint").getDouble(model);
                    threshold.put(index, Math.nextUp(split));
                } else {
                    shares = (double[]) fields[3].get(node);
                    feature.put(index, fields[0].getInt(node));
                    threshold.put(index, fields[1].getDouble(node));
                }
                if (shares == null || shares.length != 2) {
                    throw new IllegalArgumentException("a split without the shares of its branches");
                }
                leftFraction.put(index, shares[0]);
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

    // Whether each tree smooths its leaves (an option of J48).
    public static boolean[] laplace(Object classifier, int trees) throws Exception {
        boolean[] found = new boolean[trees];
        Object[] all = new Object[] {classifier};
        if (trees > 1 || rootOf(classifier) == null) {
            all = (Object[]) fijibridge.Forests.get(classifier, "m_Classifiers");
        }
        for (int t = 0; t < trees; t++) {
            if (named(all[t], "weka.classifiers.trees.J48")) {
                found[t] = ((Boolean) fijibridge.Forests.get(all[t], "m_useLaplace")).booleanValue();
            }
        }
        return found;
    }
}
